"""Log-probabilities of numbers that are several tokens each, from one prefix tree over their tokens.

The probability of a number is the product of the probabilities of its tokens, each after the ones before it,
and of its end (`Ending`). Numbers that begin alike share a node of the tree. The model runs once on a node:
on one token, with the keys and values of what stands before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fourier_addition.errors import UserError
from fourier_addition.models.prefix_cache import PrefixCache, Stem, shared_batches
from fourier_addition.models.prefixes import common_length
from fourier_addition.models.view import ModelView
from fourier_addition.numbers import ANSWER_ENDS, continuing_tokens, encode_after

SMALLEST = 1e-12
"""Least probability of an end: float32 cannot tell a smaller one from 1 - 1."""


@dataclass(frozen=True)
class NumberTree:
    """The tree of the beginnings of numbers; node 0 is the prompt's end.

    token: (node,) the token that leads to each node; -1 at node 0. children: of each node, in order.
    number: (node,) the number that is complete at each node, or -1. size: how many numbers.
    """

    token: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]
    number: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Ending:
    """What must follow a number.

    tokens: token ids. inside: one of the tokens must follow; otherwise none of them may.
    """

    tokens: tuple[int, ...]
    inside: bool


def number_tree(numbers: Sequence[Sequence[int]]) -> NumberTree:
    """The tree of numbers' tokens; numbers: for each of 0..p-1 its token ids.

    Raises UserError where a number has no token or two numbers have the same.
    """
    token, children, complete = [-1], [dict[int, int]()], [-1]
    for number, ids in enumerate(numbers):
        node = 0
        for each in ids:
            if each not in children[node]:
                children[node][each] = len(token)
                token.append(int(each))
                children.append({})
                complete.append(-1)
            node = children[node][each]
        if node == 0 or complete[node] >= 0:
            raise UserError(f"Number {number} has no tokens of its own: {list(ids)}.")
        complete[node] = number
    return NumberTree(
        tuple(token), tuple(tuple(each.values()) for each in children), tuple(complete), len(numbers)
    )


def ending_of(view: ModelView, end: str, separator: str) -> tuple[Ending | None, list[int]]:
    """What must follow a number, by the configuration's word for it, and the tokens that go on with a digit.

    end: one of `ANSWER_ENDS`. separator: what ends every solved example; its first token after a number
    counts. Raises UserError for another word, and for an end by a separator that has no token of its own.
    """
    vocabulary = view.tokenizer.convert_ids_to_tokens(list(range(min(len(view.tokenizer), view.vocab_size))))
    continuing = continuing_tokens(vocabulary)
    if end == "no-digit":
        return Ending(tuple(continuing), inside=False), continuing
    if end == "separator":
        number, both = (
            encode_after(lambda text: view.tokenizer.encode(text, add_special_tokens=False), text)
            for text in ("0", f"0{separator}")
        )
        if len(both) <= len(number) or both[: len(number)] != number:
            raise UserError(
                f"The separator {separator!r} has no token of its own after a number: use the `answer_end`"
                " no-digit."
            )
        return Ending((both[len(number)],), inside=True), continuing
    if end not in ANSWER_ENDS:
        raise UserError(f"The answer's end '{end}' is not known; it is one of {', '.join(ANSWER_ENDS)}.")
    return None, continuing


@torch.inference_mode()
def number_log_probabilities(
    view: ModelView,
    prompts: Sequence[str],
    tree: NumberTree,
    ending: Ending | None,
    *,
    batch_size: int,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> np.ndarray:
    """Log-probability of every number as the answer to every prompt: (example, number) float32.

    prompts: (example,) texts. ending: what must follow a number; None: anything may. batch_size: most lines
    of one pass, and so of the keys and values that are held for each level of the tree. progress: wraps an
    iterable and takes `total`. Raises UserError for a model that reads all tokens at once, and for a prompt
    that leaves no room for its answer.
    """
    if not view.reusable_cache:
        raise UserError(
            f"Models of family {view.family} fill one mask, so numbers of several tokens have no probability"
            " there."
        )
    encoded = view.encode(prompts)
    limit = view.position_limit
    longest = max((len(ids) for ids, _ in encoded), default=0) + depth(tree)
    if limit is not None and longest > limit:
        raise UserError(
            f"The longest prompt with its answer has {longest} tokens; the model has {limit} positions: use"
            " fewer `shots`."
        )
    stem = Stem(view)
    if encoded:
        stem.keep(encoded[0].ids[: common_length(encoded)])

    # Batch after batch: the prompt's end first, then down the tree.
    found = np.full((len(prompts), tree.size), -np.inf, np.float32)

    def batches() -> Iterator[int]:
        for bucket, shared in shared_batches(view, encoded, batch_size, 1):
            rows = len(bucket.ids)
            past = stem.past(bucket.ids[:1, :shared], rows) if shared else PrefixCache(view)
            ids = bucket.ids[:, shared:]
            hidden = view.final_hidden(ids, ids.shape[1] - 1, past=past)
            walk = _Walk(view, tree, ending, batch_size, np.full((rows, tree.size), -np.inf, np.float32))
            walk.down(past, np.arange(rows), np.zeros(rows, np.int64), torch.zeros(rows), hidden)
            found[bucket.index] = walk.found
            yield from bucket.index

    for _ in progress(batches(), total=len(prompts)) if progress else batches():
        pass
    return found


def depth(tree: NumberTree) -> int:
    """Tokens of the longest number."""
    level, nodes = 0, [0]
    while nodes := [child for node in nodes for child in tree.children[node]]:
        level += 1
    return level


class _Walk:
    """One batch's way down the tree. found: (prompt, number) log-probabilities so far."""

    def __init__(
        self, view: ModelView, tree: NumberTree, ending: Ending | None, batch_size: int, found: np.ndarray
    ) -> None:
        self._view, self._tree, self._ending, self._size = view, tree, ending, batch_size
        self.found = found

    def down(
        self,
        past: PrefixCache,
        owner: np.ndarray,
        node: np.ndarray,
        score: torch.Tensor,
        hidden: torch.Tensor,
    ) -> None:
        """Score what follows some nodes, and go on to the children that a number goes through.

        past: keys and values up to each row's node. owner, node: (row,) prompt and node of each row. score:
        (row,) log-probability of the node after its prompt. hidden: (row, d_model) the last state there.
        """
        tree, score = self._tree, score.cpu().double()
        _, total = self._view.vocabulary_summary(hidden)
        self._end(owner, node, score, hidden, total)

        # Log-probabilities of the next tokens, for all rows at once.
        tokens = sorted({tree.token[child] for each in set(node.tolist()) for child in tree.children[each]})
        if not tokens:
            return
        logits = self._view.number_logits(hidden, tokens) - total[:, None]
        follows = logits.cpu().double().numpy()
        column = {token: index for index, token in enumerate(tokens)}

        # A child at which something is left to read gets a row of the next pass.
        rows, children, scores = [], [], []
        for row, each in enumerate(node.tolist()):
            for child in tree.children[each]:
                value = float(score[row]) + float(follows[row, column[tree.token[child]]])
                if tree.number[child] >= 0 and self._ending is None:
                    self.found[owner[row], tree.number[child]] = value
                if tree.children[child] or (self._ending is not None and tree.number[child] >= 0):
                    rows.append(row)
                    children.append(child)
                    scores.append(value)
        for start in range(0, len(rows), self._size):
            part = slice(start, start + self._size)
            self._step(past, owner, np.array(rows[part]), np.array(children[part]), scores[part])

    def _step(
        self,
        past: PrefixCache,
        owner: np.ndarray,
        rows: np.ndarray,
        children: np.ndarray,
        scores: list[float],
    ) -> None:
        """One pass on the children of some rows, and on from there."""
        after = copy.deepcopy(past)
        after.select(rows)
        ids = torch.tensor([[self._tree.token[child]] for child in children], device=self._view.device)
        hidden = self._view.final_hidden(ids, 0, past=after)
        self.down(after, owner[rows], children, torch.tensor(scores, dtype=torch.double), hidden)

    def _end(
        self,
        owner: np.ndarray,
        node: np.ndarray,
        score: torch.Tensor,
        hidden: torch.Tensor,
        total: torch.Tensor,
    ) -> None:
        """Write down the numbers that are complete at these nodes, with the probability of their end."""
        number = np.array([self._tree.number[each] for each in node])
        complete = np.flatnonzero(number >= 0)
        if self._ending is None or not len(complete):
            return
        at = torch.as_tensor(complete, device=hidden.device)
        follows = self._view.number_logits(hidden[at], self._ending.tokens).double().logsumexp(dim=-1)
        inside = (follows - total[at].double()).exp().cpu()
        share = inside if self._ending.inside else 1 - inside
        self.found[owner[complete], number[complete]] = (
            score[complete] + share.clamp_min(SMALLEST).log()
        ).numpy()
