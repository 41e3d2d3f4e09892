"""What prompts have in common at their start: the tree of their distinct beginnings.

A node of the tree is one beginning: the tokens of a prompt up to one place. Prompts that begin alike
share nodes, and a causal model's values at a node are the same for all of them. Three users compute a
shared node once:

* training computes a batch's nodes in one pass, with gradients (`SharedPrefixes`, `models.gpt2`);
* captures and answers keep the keys and values of one stem (`prefix_cache.Stem`, `common_length`);
* the ablation engine keeps those of every beginning (`prefix_cache.cache_of`, `cut_points`).

They remain three ways of computing, because a pass over other rows may round differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fourier_addition.models.encoding import Encoded

PASS_COST = 12
"""What one more pass of the model costs beside its tokens, in tokens: reading the weights once.

It only decides where prompts are cut, never a result."""


def prefix_nodes(ids: np.ndarray) -> np.ndarray:
    """Number of each token's beginning: equal where lines are equal up to there, (line, token).

    ids: (line, token). Within a column, nodes are in the lexicographic order of their beginnings.
    """
    nodes = np.empty_like(ids)
    parent = np.zeros(len(ids), dtype=np.int64)
    for token in range(ids.shape[1]):
        key = parent * (ids.max() + 1) + ids[:, token]
        parent = np.unique(key, return_inverse=True)[1]
        nodes[:, token] = parent + token * len(ids)
    return nodes


def beginnings(nodes: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct beginnings of `length` tokens, from `prefix_nodes` (line, token).

    Returns the first line that has each, (beginning,), and the beginning of each line, (line,).
    """
    _, first, beginning = np.unique(nodes[:, length - 1], return_index=True, return_inverse=True)
    return first, beginning.reshape(-1)


def cut_points(nodes: np.ndarray, pass_cost: float = PASS_COST) -> list[int]:
    """Where to cut prompts so that shared beginnings are computed once at the least total cost.

    nodes: `prefix_nodes` (example, token). Between two cuts the model runs once on every distinct
    beginning. Returns the ends of the pieces, the last of them the number of tokens.
    """
    tokens = nodes.shape[1]
    distinct = [len(np.unique(nodes[:, token])) for token in range(tokens)]

    # The least cost of the first `end` tokens, and where the last piece of that way starts.
    best, previous = [0.0] + [np.inf] * tokens, [0] * (tokens + 1)
    for end in range(1, tokens + 1):
        for start in range(end):
            cost = best[start] + distinct[end - 1] * (end - start) + pass_cost
            if cost < best[end]:
                best[end], previous[end] = cost, start

    # Walk back from the end over the pieces of the cheapest way.
    ends = [tokens]
    while previous[ends[0]] > 0:
        ends.insert(0, previous[ends[0]])
    return ends


def common_length(encoded: Sequence[Encoded]) -> int:
    """Leading tokens that all prompts share, at most up to the first reading position."""
    if not encoded:
        return 0
    limit = min(prompt.position for prompt in encoded)
    # The smallest and the largest list differ first where any two of the lists do.
    smallest, largest = min(prompt.ids for prompt in encoded), max(prompt.ids for prompt in encoded)
    for length in range(limit):
        if smallest[length] != largest[length]:
            return length
    return limit


@dataclass(frozen=True)
class SharedPrefixes:
    """Tokens of a batch that stand for all tokens with the same line up to there.

    first: (node,) flat index into (batch, token) of each node's first token.
    node: (batch, token) the node of each token.
    """

    first: torch.Tensor
    node: torch.Tensor


def shared_prefixes(nodes: np.ndarray, device: torch.device) -> SharedPrefixes:
    """What a batch has to compute, from its lines' `prefix_nodes` (line, token)."""
    _, first, node = np.unique(nodes.ravel(), return_index=True, return_inverse=True)
    return SharedPrefixes(
        torch.from_numpy(first).to(device), torch.from_numpy(node.reshape(nodes.shape)).to(device)
    )
