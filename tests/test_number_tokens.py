"""Tokens of numbers that are one token or several, on every kind of tokenizer, against `tokenizers`."""

import pytest
from fourier_addition.errors import UserError
from fourier_addition.models.encoding import encode_causal
from fourier_addition.models.number_tree import ending_of
from fourier_addition.numbers import (
    BOUNDARY,
    LEAD,
    continuing_tokens,
    tokenizer_number_space,
    tokenizer_number_tokens,
)
from test_gguf import sentencepiece
from test_silent import KINDS, fast_of
from tokenizers import AddedToken

COUNT = 41


def added_later():
    """A tokenizer that writes digits, to which the numbers 10 and 12 were added after its training."""
    raw = KINDS["byte-level, digits apart"][0]()
    raw.add_tokens([AddedToken("10", normalized=False), AddedToken("12", normalized=False)])
    return raw


ALL = {
    **{name: make for name, (make, _) in KINDS.items()},
    "tokens added later": added_later,
    "SentencePiece with its first space": lambda: sentencepiece(True)[0],
    "SentencePiece without it": lambda: sentencepiece(False)[0],
}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("form", ["bare", "space"])
def test_numbers_have_the_tokens_that_they_have_in_a_line(kind, form):
    raw = ALL[kind]()
    tokenizer = fast_of(raw)
    found = tokenizer_number_tokens(tokenizer, form, COUNT)
    between = " " if form == "space" else ""
    lead = raw.encode(LEAD, add_special_tokens=False).ids
    for number, tokens in enumerate(found):
        line = raw.encode(f"{LEAD}{between}{number}", add_special_tokens=False).ids
        assert [*lead, *tokens] == line, number
    # Where the first numbers are one token each, both functions give the same ones.
    single = next((n for n, tokens in enumerate(found) if len(tokens) > 1), COUNT)
    if single:
        assert tokenizer_number_space(tokenizer, form).ids[:single].tolist() == [t[0] for t in found[:single]]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in ("word pieces",)])
def test_a_line_cut_before_a_number_ends_in_the_numbers_tokens(kind):
    tokenizer = fast_of(ALL[kind]())
    numbers = tokenizer_number_tokens(tokenizer, "bare", COUNT)
    for number in (0, 7, 10, 12, 40):
        (cut,) = encode_causal(tokenizer, [f"{LEAD} {BOUNDARY}{number}"])
        assert tuple(cut.ids[-len(numbers[number]) :]) == numbers[number]


@pytest.mark.parametrize(
    ("kind", "continuing"),
    [
        ("byte-level, digits apart", {str(n) for n in range(100)}),
        ("digits after a space piece", set("0123456789")),
        ("characters", set("0123456789")),
        ("tokens added later", {str(n) for n in range(100)}),
    ],
)
def test_what_goes_on_with_a_digit(kind, continuing):
    """A token with a space in front begins a new number; a longer run of digits goes on with this one."""
    tokenizer = fast_of(ALL[kind]())
    vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    found = {vocabulary[index] for index in continuing_tokens(vocabulary)}
    assert found == continuing


def test_word_pieces_that_continue_a_word_are_marked():
    assert continuing_tokens(["1", "##1", "a", "##a", "##12", None]) == [1, 4]
    assert continuing_tokens(["1", "a1", "12", "\u21581", "\u01201", None]) == [0, 2]
    # Headings of Markdown are tokens of many byte-level tokenizers.
    assert continuing_tokens(["1", "##", "###", "##a", "##\u0120", "2"]) == [0, 5]


def test_a_tokenizer_without_digits_is_named():
    tokenizer = fast_of(KINDS["word pieces"][0]())
    with pytest.raises(UserError, match=r"Number 41 in the 'bare' form is not written by its tokens \[0\]"):
        tokenizer_number_tokens(tokenizer, "bare", 60)


def test_the_separator_has_a_token_of_its_own():
    from test_number_tree import model_of

    view = model_of("llama")
    ending, _ = ending_of(view, "separator", "\n")
    assert ending.inside and view.tokenizer.convert_ids_to_tokens(list(ending.tokens)) == ["\n"]
    assert ending_of(view, "none", "\n")[0] is None
    with pytest.raises(UserError, match="separator '' has no token of its own"):
        ending_of(view, "separator", "")
    with pytest.raises(UserError, match="end 'dot' is not known; it is one of no-digit, separator, none"):
        ending_of(view, "dot", "\n")
