"""Number spaces on real tokenizers and on ones made here."""

import pytest
from fourier_addition.errors import UserError
from fourier_addition.numbers import number_space, tokenizer_number_space


@pytest.fixture(scope="module")
def byte_level_bpe():
    """A byte-level BPE whose text holds numbers to 60 without a space, to 40 after one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    text = [f"{n}" for n in range(61) for _ in range(20)] + [f" {n}" for n in range(41) for _ in range(20)]
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_byte_level_bpe_has_both_forms(byte_level_bpe):
    bare = tokenizer_number_space(byte_level_bpe, "bare")
    space = tokenizer_number_space(byte_level_bpe, "space")
    assert bare.size == 61 and space.size == 41
    assert set(bare.ids).isdisjoint(space.ids)
    assert byte_level_bpe.decode([bare.ids[37]]) == "37"
    assert byte_level_bpe.decode([space.ids[37]]) == " 37"


def test_a_number_that_is_not_one_token_is_named(byte_level_bpe):
    with pytest.raises(UserError, match=r"Number 61 is not one token.*0\.\.60, and 100 is needed"):
        tokenizer_number_space(byte_level_bpe, "bare").first(101)


def test_a_gap_ends_the_space():
    vocabulary = {str(n): n for n in range(20) if n != 7}
    space = number_space(lambda text: [vocabulary[text]] if text in vocabulary else [90, 91], "bare")
    assert space.size == 7


def test_an_unknown_word_token_is_no_number():
    vocabulary = {str(n): n + 5 for n in range(12)}
    space = number_space(lambda text: [vocabulary.get(text, 0)], "bare")
    assert space.size == 12 and space.ids.tolist() == list(range(5, 17))


def test_no_numbers_and_unknown_forms_are_refused():
    with pytest.raises(UserError, match="Number 0 is not one token"):
        number_space(lambda text: [1, 2], "bare")
    with pytest.raises(UserError, match="'quoted' is not known"):
        number_space(lambda text: [1], "quoted")
