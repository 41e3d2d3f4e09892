"""Numbers of several tokens: their probabilities from one tree, against plain passes and a planted model."""

import itertools

import numpy as np
import pytest
import torch
from fourier_addition.analysis.digits import (
    digit_accuracy,
    digit_lens,
    digit_summary,
    number_predictions,
    number_spectrum,
)
from fourier_addition.capture.digits import forced_digits
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis, spectrum
from fourier_addition.models import wrap
from fourier_addition.models.number_tree import Ending, depth, number_log_probabilities, number_tree
from fourier_addition.numbers import continuing_tokens, number_tokens
from test_digit_tokenizers import digit_tokenizer
from tiny import tiny_config
from transformers import AutoModelForCausalLM

COUNT = 125
ANALYSIS = {
    "basis": "paper",
    "average": "mean",
    "null_draws": 50,
    "null_level": 0.95,
    "null_window": 5,
    "null_examples": 4,
    "seed": 0,
}


def model_of(family, seed=0, **changes):
    tokenizer = digit_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = tiny_config(family, len(tokenizer), 2, 48, **changes)
        return wrap(AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval(), tokenizer)


def markov(seed=0, flat=False):
    """A llama whose next token depends on the last one alone, with probabilities that are known.

    The residual stream is the last token's one-hot embedding, as nothing is added to it; the unembedding
    holds the logarithms of the probabilities. Returns the view and log P(next | last), (last, next).
    """
    view = model_of("llama", tie_word_embeddings=False)
    words, width = view.vocab_size, view.d_model
    assert words <= width
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(words, words)) * (0 if flat else 2)
    log_p = torch.from_numpy(table - np.log(np.exp(table).sum(axis=1, keepdims=True))).float()
    with torch.no_grad():
        for parameter in view.model.parameters():
            parameter.zero_()
        view.model.model.norm.weight.fill_(1.0)
        view.model.model.norm.variance_epsilon = 0.0
        view.embedding_parameter()[:, :words] = torch.eye(words)
        # The norm divides a one-hot state by the root of its mean square, 1 / sqrt(width).
        view.unembedding_parameter()[:, :words] = log_p.T / np.sqrt(width)
    return view, log_p.numpy()


def tokens_of(view, count=COUNT):
    tokenizer = view.tokenizer
    return number_tokens(
        lambda text: tokenizer.encode(text, add_special_tokens=False), "bare", count, tokenizer.decode
    )


def digits_of(view):
    return continuing_tokens(view.tokenizer.convert_ids_to_tokens(range(len(view.tokenizer))))


def test_a_tree_shares_what_numbers_begin_with():
    numbers = [tuple(map(int, str(n))) for n in range(COUNT)]
    tree = number_tree(numbers)
    assert depth(tree) == 3 and tree.size == COUNT
    # The root, 10 + 90 numbers of one and two digits, and 100..124: every number is a node.
    assert len(tree.token) == 1 + COUNT
    assert sorted(n for n in tree.number if n >= 0) == list(range(COUNT))
    with pytest.raises(UserError, match="Number 1 has no tokens of its own"):
        number_tree([(1,), (1,)])


@pytest.mark.parametrize("kind", ["none", "no-digit", "separator"])
def test_a_planted_model_gives_the_known_distribution(kind):
    view, log_p = markov()
    numbers, digits = tokens_of(view), digits_of(view)
    stop = view.tokenizer.convert_tokens_to_ids("\n")
    ending = {"none": None, "no-digit": Ending(tuple(digits), False), "separator": Ending((stop,), True)}[
        kind
    ]
    prompts = ["3+4=", "12+5=", "7-", "1+1="]
    found = number_log_probabilities(view, prompts, number_tree(numbers), ending, batch_size=7)

    # By hand: a product of digits, each after the one before it.
    for prompt, row in zip(prompts, found, strict=True):
        last = view.tokenizer.encode(prompt)[-1]
        for number in range(COUNT):
            line = [last, *view.tokenizer.encode(str(number))]
            known = sum(log_p[a, b] for a, b in itertools.pairwise(line))
            if kind == "no-digit":
                known += np.log(1 - np.exp(log_p[line[-1], digits]).sum())
            elif kind == "separator":
                known += log_p[line[-1], stop]
            assert row[number] == pytest.approx(known, abs=2e-5)


def test_ends_make_numbers_exclude_each_other():
    view, _ = markov(seed=3)
    numbers = tokens_of(view, 1000)
    ending = Ending(tuple(digits_of(view)), False)
    ended = number_log_probabilities(view, ["1="], number_tree(numbers), ending, batch_size=64)
    open_ = number_log_probabilities(view, ["1="], number_tree(numbers), None, batch_size=64)
    # Without an end, 1, 12 and 123 are counted in each other.
    assert np.exp(ended).sum() <= 1 < np.exp(open_).sum() * 3
    assert np.exp(open_[0, 100:200]).sum() <= np.exp(open_[0, 1]) + 1e-6
    assert np.all(ended <= open_ + 1e-6)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt2"])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_the_tree_gives_what_plain_passes_give(family, batch_size):
    view = model_of(family, seed=2)
    numbers, digits = tokens_of(view), digits_of(view)
    prompts = ["3+4=", "3+5=", "A3+17=", "3+4= "]
    found = number_log_probabilities(
        view, prompts, number_tree(numbers), Ending(tuple(digits), False), batch_size=batch_size
    )
    for prompt, row in zip(prompts, found, strict=True):
        start = view.encode([prompt])[0].ids
        for number in (0, 7, 12, 100, 124):
            ids = [*start, *numbers[number]]
            with torch.no_grad():
                log_p = view.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
            known = sum(log_p[len(start) - 1 + k, token] for k, token in enumerate(numbers[number]))
            known = known + torch.log1p(-log_p[-1, digits].exp().sum())
            assert row[number] == pytest.approx(float(known), abs=1e-4)


def test_masked_models_are_refused():
    from tiny import tiny_model

    with pytest.raises(UserError, match=r"fill one mask.*\.$"):
        number_log_probabilities(tiny_model("bert"), ["3"], number_tree([(1,), (2,)]), None, batch_size=2)


def examples_for(count):
    import pandas as pd

    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 60, count), rng.integers(0, 60, count)
    return pd.DataFrame({"example": np.arange(count), "a": a, "b": b, "answer": a + b})


def test_teacher_forcing_reads_every_digit_and_the_end():
    view, log_p = markov(seed=5)
    numbers, digits = tokens_of(view), digits_of(view)
    examples = examples_for(30)
    prompts = [f"{a}+{b}=" for a, b in zip(examples["a"], examples["b"], strict=True)]
    answers = examples["answer"].tolist()
    tokens, lens = forced_digits(view, prompts, answers, numbers, digits, batch_size=8)
    assert len(tokens) == sum(len(str(answer)) + 1 for answer in answers)
    equals = view.tokenizer.convert_tokens_to_ids("=")
    for row in tokens.to_dict("records"):
        line = [equals, *numbers[answers[row["example"]]]]
        before = line[row["place"] - 1]
        if row["place"] > row["tokens"]:
            assert row["digits"] == "end"
            known = np.log(1 - np.exp(log_p[before, digits]).sum())
            assert row["right"] == (log_p[before].argmax() not in digits)
        else:
            known = log_p[before, line[row["place"]]]
            assert row["right"] == (log_p[before].argmax() == line[row["place"]])
        assert row["log_probability"] == pytest.approx(known, abs=2e-5)

    # Nothing is added to the stream, so the lens says the same after every layer.
    table = digit_lens(lens)
    assert (
        set(table["layer"]) == {0, 1, 2} and table.groupby(["tokens", "place"])["exact"].nunique().max() == 1
    )
    accuracy = digit_accuracy(tokens)
    assert (
        accuracy["right_of"].sum() == len(tokens)
        and (accuracy["digits"] == "end").sum() == tokens["tokens"].nunique()
    )


def test_whole_answers_are_those_that_greedy_decoding_writes():
    from fourier_addition.answers import number_complete, written_number
    from fourier_addition.models import greedy_texts

    view = model_of("qwen3", seed=4)
    numbers, digits = tokens_of(view, 200), digits_of(view)
    examples = examples_for(6)
    prompts = [f"{a}+{b}=" for a, b in zip(examples["a"], examples["b"], strict=True)]
    texts = greedy_texts(view, prompts, tokens=5, batch_size=4, finished=number_complete)
    # The answers are what the model writes, where it writes a number of the space; elsewhere a wrong number.
    read = [written_number(text, "beginning") for text in texts]
    answers = [n if n is not None and n < 200 else 7 for n in read]
    tokens, _ = forced_digits(view, prompts, answers, numbers, digits, batch_size=4)
    whole = tokens.groupby("example")["right"].all()
    assert [bool(each) for each in whole] == [n == answer for n, answer in zip(read, answers, strict=True)]


def test_a_planted_period_is_found_in_the_logits_of_several_tokens():
    view, log_p = markov(flat=True)
    # Even digits are likelier, after every token: the units give the numbers' logits the period 2.
    digits = [view.tokenizer.convert_tokens_to_ids(str(n)) for n in range(10)]
    table = np.zeros((view.vocab_size, view.vocab_size))
    table[:, digits[::2]] = 1.0
    log_p = table - np.log(np.exp(table).sum(axis=1, keepdims=True))
    with torch.no_grad():
        view.unembedding_parameter()[:, : view.vocab_size] = torch.from_numpy(log_p.T / np.sqrt(view.d_model))
    numbers = tokens_of(view, 101)
    logits = number_log_probabilities(
        view, ["1=", "2+2=", "3+"], number_tree(numbers), Ending(tuple(digits_of(view)), False), batch_size=64
    )
    table = number_spectrum(logits, 2, ANALYSIS).set_index("period")
    assert set(table["module"]) == {"final"} and set(table["layer"]) == {2}
    assert table.loc[2.0, "outlier"] and not table.loc[100 / 7, "outlier"]
    # And the magnitudes are those of the distribution that was planted.
    odd, more = log_p[0, digits[1]], 1 - np.exp(log_p[0, digits]).sum()
    known = [sum(odd + (int(d) % 2 == 0) for d in str(n)) + np.log(more) for n in range(101)]
    magnitudes = spectrum(np.array(known), fourier_basis(101, "paper"))
    assert table["magnitude"].to_numpy() == pytest.approx(magnitudes, abs=1e-4)
    predictions = number_predictions(examples_for(3), logits)
    assert predictions["mass"].between(0, 1).all() and set(predictions["prediction"]) <= {0, 2, 4, 6, 8}
    summary = digit_summary(*_forced_and(view, predictions))
    assert 0 <= summary["whole"]["share"] <= summary["digits"]["share"] <= 1


def _forced_and(view, predictions):
    prompts, answers = ["1=", "2+2=", "3+"], [min(answer, 100) for answer in predictions["answer"]]
    tokens, _ = forced_digits(view, prompts, answers, tokens_of(view, 101), digits_of(view), batch_size=2)
    return tokens, predictions
