"""What an intervention did to an answer's residue (the last digit, modulo 10) and to its magnitude.

An answer is taken apart into its residue modulo `modulus` and its magnitude. "Residue r with the magnitude of
n" is the number nearest to n, within the number space, that has the residue r. Of two numbers that are
equally near, those of `equally_near` count: `both`, the `lower` or the `higher`.
"""

from __future__ import annotations

import numpy as np

from fourier_addition.errors import UserError

OUTCOMES = ("unchanged", "residue", "magnitude", "source", "other")
"""What an exchange with a source may give, in the order in which it is told:

unchanged   the own answer
residue     the source's residue with the own magnitude
magnitude   the source's magnitude with the own residue
source      the source's answer
other       anything else
"""


def nearest_with_residue(
    own: np.ndarray, residue: np.ndarray, modulus: int, numbers: int, equally_near: str = "both"
) -> np.ndarray:
    """The numbers of 0..p-1 with a residue that are nearest to others: (..., 2).

    Both entries are the same number unless two are equally near and both count.
    own: (...) whole numbers. residue: (...), taken modulo `modulus`. numbers: p.
    Raises UserError where the number space does not have every residue.
    """
    if not 1 < modulus <= numbers:
        raise UserError(f"The numbers 0..{numbers - 1} do not have every residue modulo {modulus}.")
    own = np.asarray(own, np.int64)
    below = own - (own - residue) % modulus
    candidates = np.stack([below, below + modulus], axis=-1)

    # A candidate outside the number space is no candidate.
    distance = np.abs(candidates - own[..., None]).astype(np.float64)
    distance[(candidates < 0) | (candidates >= numbers)] = np.inf
    first = distance[..., :1] <= distance[..., 1:]
    second = distance[..., 1:] <= distance[..., :1]
    if equally_near == "lower":
        second &= ~first
    elif equally_near == "higher":
        first &= ~second
    return np.where(
        first & second,
        candidates,
        np.where(first, candidates[..., :1], candidates[..., 1:]),
    )


def moved_by(
    prediction: np.ndarray,
    own: np.ndarray,
    delta: float,
    modulus: int,
    numbers: int,
    equally_near: str = "both",
) -> dict[str, np.ndarray]:
    """What a turn by `delta` numbers did: name -> (..., example) bool.

    prediction: (..., example) under the intervention. own: (example,) without it.
    moved: the residue is the own one plus delta. rest: that, and the answer is otherwise the nearest to the
    own one. exact: the answer is the own one plus delta. unchanged: the answer is the own one.
    """
    moved = (prediction - own - delta) % modulus == 0
    near = nearest_with_residue(own, own + int(delta), modulus, numbers, equally_near)
    rest = (prediction[..., None] == near).any(axis=-1)
    exact, unchanged = prediction == own + delta, prediction == own
    return {"moved": moved, "rest": rest, "exact": exact, "unchanged": unchanged}


def outcome_sets(
    own: np.ndarray, source: np.ndarray, modulus: int, numbers: int, equally_near: str = "both"
) -> dict[str, np.ndarray]:
    """The answers that count as each outcome of an exchange but `other`: outcome -> (..., 2).

    own, source: (...) answers without the exchange.
    """
    twice = (2,)
    return {
        "unchanged": np.broadcast_to(own[..., None], own.shape + twice),
        "residue": nearest_with_residue(own, source, modulus, numbers, equally_near),
        "magnitude": nearest_with_residue(source, own, modulus, numbers, equally_near),
        "source": np.broadcast_to(source[..., None], source.shape + twice),
    }


def told_apart(own: np.ndarray, source: np.ndarray, modulus: int, numbers: int) -> np.ndarray:
    """Whether the four outcomes are four different answers: (...) bool.

    They are not where own and source have one residue, or are so near that one magnitude is the other's. Of
    two equally near numbers both are asked, so that sources do not depend on which of them counts.
    """
    own, source = np.broadcast_arrays(own, source)
    sets = list(outcome_sets(own, source, modulus, numbers).values())
    apart = np.ones(own.shape, bool)
    for index, one in enumerate(sets):
        for other in sets[index + 1 :]:
            apart &= (one[..., :, None] != other[..., None, :]).all(axis=(-1, -2))
    return apart


def outcomes_of(
    prediction: np.ndarray,
    own: np.ndarray,
    source: np.ndarray,
    modulus: int,
    numbers: int,
    equally_near: str = "both",
) -> dict[str, np.ndarray]:
    """What an exchange gave: outcome of `OUTCOMES` -> (..., example) bool; exactly one of them holds.

    prediction: (..., example) under the exchange. own, source: (example,) answers without it, told apart.
    """
    found = {
        outcome: (prediction[..., None] == answers).any(axis=-1)
        for outcome, answers in outcome_sets(own, source, modulus, numbers, equally_near).items()
    }
    return {**found, "other": ~np.any(list(found.values()), axis=0)}
