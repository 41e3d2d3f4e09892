"""Which states of the last token are distinct, where they part, and what filters them.

Conditions that have filtered the same outputs alike so far are one state. All start as one; each
module's output is computed once for each state and then parts it by the filters that follow.
Layers below the first filtered one, and an attention whose MLP alone differs, are thereby shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fourier_addition.ablation.conditions import Applied, Condition
from fourier_addition.ablation.torch_filters import Part
from fourier_addition.modules import MODULES, RESIDUAL

SEQUENTIAL = (MODULES[:1], (*MODULES[1:], RESIDUAL))
"""Events of a layer whose MLP reads what attention added: what is added or changed at each."""
PARALLEL = ((*MODULES, RESIDUAL),)
"""The one event of a layer whose attention and MLP read the same state."""


@dataclass(frozen=True)
class Split:
    """States after one or two module outputs.

    parents: (state,) the state before from which each comes, None where all stay as they are.
    parts: for each module output, and after a block's last for the stream itself, which runs of the states
    are changed by what.
    """

    parents: np.ndarray | None
    parts: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True)
class Plan:
    """The splits of a group of conditions and the state that each condition ends in.

    numbers: (condition,) their numbers among all conditions. splits: in the order of the events
    (`SEQUENTIAL` or `PARALLEL` of each layer).
    """

    numbers: list[int]
    splits: list[Split]
    final: np.ndarray
    most_states: int


def plans(conditions: Sequence[Condition], n_layers: int, parallel: bool, states: int) -> list[Plan]:
    """Plans of groups of at most `states` conditions, so that no plan carries more states.

    parallel: attention and MLP read the same state, so a layer is one event.
    Conditions that share the most stand together.
    """
    # What each condition applies on its way through the layers
    names = _filter_names(conditions)
    paths = [_path(condition, n_layers, parallel, names) for condition in conditions]

    # Neighbours in the order of these ways share the most states.
    order = sorted(range(len(conditions)), key=lambda number: (paths[number], number))
    groups = max(1, -(-len(order) // max(1, states)))
    filters = list(names)
    return [_plan([int(n) for n in part], paths, filters) for part in np.array_split(order, groups)]


def _filter_names(conditions: Sequence[Condition]) -> dict[Applied, int]:
    names: dict[Applied, int] = {}
    for condition in conditions:
        if condition.filter is not None:
            names.setdefault(condition.filter, len(names))
    return names


Event = tuple[int, ...]


def _path(
    condition: Condition, n_layers: int, parallel: bool, names: dict[Applied, int]
) -> tuple[Event, ...]:
    """What a condition applies at each event: numbers of filters, -1 for none."""
    events = []
    for layer in range(n_layers):
        applied = dict(zip((*MODULES, RESIDUAL), condition.filters_at(layer), strict=True))
        for event in PARALLEL if parallel else SEQUENTIAL:
            found = [applied[name] for name in event]
            events.append(tuple(-1 if filter is None else names[filter] for filter in found))
    return tuple(events)


def _rank(event: Event) -> tuple[int, int, bool, bool, Event]:
    # States that share a filter stand side by side, for the stream, the first output and the second.
    outputs, stream = (event[:-1], event[-1]) if len(event) > 1 else (event, -1)
    return stream, max(outputs), outputs[0] >= 0, outputs[-1] < 0, event


def _plan(numbers: list[int], paths: list[tuple[Event, ...]], filters: list[Applied]) -> Plan:
    """The plan of some conditions. paths: what each of all conditions applies. filters: by number."""
    # All conditions start as one state.
    state_of = np.zeros(len(numbers), np.int64)
    count, most, splits = 1, 1, []
    for event in range(len(paths[0])):
        # A state parts into one for each way in which its conditions go on.
        keys = [(int(state), paths[n][event]) for state, n in zip(state_of, numbers, strict=True)]
        children = sorted(set(keys), key=lambda key: (_rank(key[1]), key[0]))
        place = {key: number for number, key in enumerate(children)}

        # Where each new state comes from, and which runs of them each filter is applied to
        parents = np.array([parent for parent, _ in children])
        same = len(children) == count and np.array_equal(parents, np.arange(count))
        outputs = range(len(children[0][1]))
        parts = tuple(_parts([applied[o] for _, applied in children], filters) for o in outputs)
        splits.append(Split(None if same else parents, parts))

        # The states that the conditions are in now
        state_of = np.array([place[key] for key in keys])
        count = len(children)
        most = max(most, count)
    return Plan(numbers, splits, state_of, most)


def _parts(applied: list[int], filters: list[Applied]) -> tuple[Part, ...]:
    """Runs of states with the same filter; states without one are left out."""
    runs = pairwise([0, *(np.flatnonzero(np.diff(applied)) + 1).tolist(), len(applied)])
    return tuple((filters[applied[start]], start, stop) for start, stop in runs if applied[start] >= 0)
