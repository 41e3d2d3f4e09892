"""Which examples the page shows, and where each result has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

Key = tuple[int, int, int]
"""a, b and the number of the template: an example of a task, in every result alike."""


def keys_of(examples: pd.DataFrame) -> list[Key]:
    """The key of every row. examples: columns a, b, template."""
    columns = [examples[name].to_numpy(np.int64).tolist() for name in ("a", "b", "template")]
    return list(zip(*columns, strict=True))


def chosen_keys(sources: Sequence[Sequence[Key]], count: int) -> list[Key]:
    """Examples that the page shows, those in most of the sources first, then by operands.

    sources: the keys that each result has. count: how many of each source are taken; those that other
    sources have too are taken before others, so that a reader sees one example in as many views as can be.
    """
    found = Counter(key for source in sources for key in dict.fromkeys(source))
    taken: set[Key] = set()
    for source in sources:
        ordered = sorted(dict.fromkeys(source), key=lambda key: -found[key])
        taken.update(ordered[:count])
    return sorted(taken, key=lambda key: (-found[key], key))


def positions(keys: Sequence[Key], source: Sequence[Key]) -> list[int]:
    """Where a source has each of the keys; -1 for one that it does not have."""
    where = {key: place for place, key in reversed(list(enumerate(source)))}
    return [where.get(key, -1) for key in keys]


def renumbered(places: Sequence[int]) -> tuple[list[int], list[int]]:
    """Rows that are kept of a source, and where each example is among the kept rows (-1 for none)."""
    kept = [place for place in places if place >= 0]
    following = iter(range(len(kept)))
    return kept, [next(following) if place >= 0 else -1 for place in places]


def described(
    keys: Sequence[Key], answers: Mapping[Key, int], prompts: Mapping[Key, str]
) -> dict[str, list[int] | list[str]]:
    """What the page says of examples: operands, answers and prompts, a list each."""
    return {
        "a": [key[0] for key in keys],
        "b": [key[1] for key in keys],
        "answer": [int(answers[key]) for key in keys],
        "prompt": [prompts.get(key, "").strip() for key in keys],
    }
