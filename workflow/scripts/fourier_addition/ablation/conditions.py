"""What is changed where: the rows of table 1 of the paper, and their controls.

A condition names a filter or another intervention and the places where it is applied: outputs of modules at
some layers, or the residual stream after some blocks. Conditions that remove the same components share one
`Filter` object, which the engine relies on to share work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.errors import UserError
from fourier_addition.filters import Band, Filter, band_label, components_of, random_components
from fourier_addition.interventions import Intervention
from fourier_addition.modules import CHANGED, MODULES, RESIDUAL

TABLE_ROWS = tuple((module, band) for band in ("low", "high") for module in ("both", *MODULES))
"""Table 1 of the paper below its first row: (module, removed band), in the paper's order."""
CONTROLS = ("subspace", "components")


Applied = Filter | Intervention
"""What a condition applies: a filter, which is held as a projector, or another intervention."""
Place = tuple[str, int]
"""A module's name or `residual`, and the layer, counted from 0."""


@dataclass(frozen=True)
class Condition:
    """One way of running the model.

    name: unique among the conditions that are run together.
    kind: `table`, `subspace`, `components` (the two controls), `tau`, `period`, `keep`, `layer`; or one of
    `steering.ARMS` or `exchange.ARMS`.
    band: what is changed, in words. modules: `none`, `attention`, `mlp`, `both` or `residual`.
    layers: blocks, counted from 0, at which the filter or intervention is applied.
    components: what is changed; empty for random subspaces. filter: the filter or another intervention,
    None for none.
    draw: number of the control's draw, -1 for what is no control.
    control_of: name of the condition that a control belongs to.
    value: where on a sweep's axis it lies (tau, period in numbers, component or layer); NaN otherwise.
    """

    name: str
    kind: str
    band: str
    modules: str
    layers: tuple[int, ...]
    components: tuple[int, ...] = ()
    filter: Applied | None = None
    draw: int = -1
    control_of: str = ""
    value: float = float("nan")

    @property
    def rank(self) -> int:
        """Dimensions that the filter removes, or that the intervention may change."""
        return 0 if self.filter is None else self.filter.rank

    def filters_at(self, layer: int) -> tuple[Applied | None, Applied | None, Applied | None]:
        """What is applied at a layer to the attention's output, the MLP's, and the stream after the block."""
        if self.filter is None or layer not in self.layers:
            return None, None, None
        return (
            self.filter if self.modules in ("attention", "both") else None,
            self.filter if self.modules in ("mlp", "both") else None,
            self.filter if self.modules == RESIDUAL else None,
        )

    def places(self) -> list[Place]:
        """Every place where something is applied."""
        modules = {"both": MODULES}.get(self.modules, (self.modules,))
        return [] if self.filter is None else [(module, n) for n in self.layers for module in modules]


def chosen_layers(n_layers: int, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Layers in order, each once; all of them for None. Raises UserError for none or an unknown one."""
    chosen = tuple(range(n_layers)) if layers is None else tuple(sorted({int(layer) for layer in layers}))
    if not chosen:
        raise UserError("A filter needs at least one layer to be applied at.")
    if chosen[0] < 0 or chosen[-1] >= n_layers:
        wrong = chosen[0] if chosen[0] < 0 else chosen[-1]
        raise UserError(f"Layer {wrong} does not exist: the model has the layers 0..{n_layers - 1}.")
    return chosen


def _modules(modules: str) -> str:
    if modules not in CHANGED:
        raise UserError(f"Module '{modules}' is not known; it is one of {', '.join(CHANGED)}.")
    return modules


def unfiltered(n_layers: int) -> Condition:
    """The condition that filters nothing."""
    return Condition("unfiltered", "table", "none", "none", tuple(range(n_layers)))


def removal(
    name: str,
    kind: str,
    band: Band | str,
    modules: str,
    layers: tuple[int, ...],
    components: Iterable[int],
    bank: FilterBank,
    value: float = float("nan"),
) -> Condition:
    """The condition that removes components at the given modules and layers."""
    components = tuple(int(k) for k in components)
    label = band if isinstance(band, str) else band_label(band)
    chosen = bank.removing(components)
    return Condition(name, kind, label, _modules(modules), layers, components, chosen, value=value)


def table1_conditions(
    bank: FilterBank,
    n_layers: int,
    tau: int,
    cut: str = "component",
    layers: Sequence[int] | None = None,
) -> list[Condition]:
    """The seven rows of table 1, in the paper's order; names `unfiltered`, `both-low`, ...

    layers: where the filters are applied; every layer by default. Raises UserError for a tau beyond
    the components, layers that do not exist and a filter that would leave no dimensions.
    """
    chosen = chosen_layers(n_layers, layers)
    rows = [unfiltered(n_layers)]
    for module, band in TABLE_ROWS:
        components = components_of(band, bank.basis, tau, cut)
        rows.append(removal(f"{module}-{band}", "table", band, module, chosen, components, bank))
    return rows


def control_conditions(
    conditions: Iterable[Condition],
    bank: FilterBank,
    draws: int,
    seed: int,
    kind: str = "subspace",
) -> list[Condition]:
    """Controls of every condition that filters: the same modules and layers, another filter.

    kind: `subspace` for random subspaces of equal rank, `components` for equally many components
    drawn at random (the constant is never among them).
    draws: how many for each condition. Conditions of equal rank (or size) share their draws, so the
    rows of a table are compared on the same random subspaces.
    """
    if kind not in CONTROLS:
        raise UserError(f"Control '{kind}' is not known; it is one of {', '.join(CONTROLS)}.")
    if draws < 1:
        raise UserError(f"A control needs at least 1 draw, not {draws}.")
    draw_of = _random_subspace if kind == "subspace" else _random_components
    return [
        replace(
            draw_of(row, bank, seed, draw),
            name=f"{row.name}/{kind}-{draw:02d}",
            kind=kind,
            draw=draw,
            control_of=row.name,
        )
        for row in conditions
        if row.filter is not None
        for draw in range(draws)
    ]


def _random_subspace(row: Condition, bank: FilterBank, seed: int, draw: int) -> Condition:
    """The condition with a random subspace of equal rank in place of what it removes."""
    label = f"random subspace of rank {row.rank}"
    return replace(row, band=label, components=(), filter=bank.random(row.rank, seed, draw))


def _random_components(row: Condition, bank: FilterBank, seed: int, draw: int) -> Condition:
    """The condition with equally many components drawn at random in place of its own."""
    size = len(row.components)
    if size == 0:
        raise UserError(f"Condition '{row.name}' removes no components to draw a control for.")
    # A salt keeps these draws apart from those of the subspaces of the same number.
    rng = np.random.default_rng([seed, size, draw, 1])
    components = tuple(int(k) for k in random_components(bank.basis, size, rng))
    label = f"{size} random components"
    return replace(row, band=label, components=components, filter=bank.removing(components))


def check_conditions(conditions: Sequence[Condition], width: int, n_layers: int) -> None:
    """Refuse conditions that cannot be run together on a model.

    Raises UserError when there are none, two share a name, one filters outside the model's layers, or
    a filter was made for another width.
    """
    if not conditions:
        raise UserError("There is no condition to run.")
    seen: set[str] = set()
    for condition in conditions:
        if condition.name in seen:
            raise UserError(f"Two conditions are named '{condition.name}'.")
        seen.add(condition.name)
        chosen_layers(n_layers, condition.layers)
        if condition.filter is not None:
            _modules(condition.modules)
            if condition.filter.width != width:
                raise UserError(
                    f"Condition '{condition.name}' filters {condition.filter.width} dimensions; "
                    f"the model's residual stream has {width}."
                )


def layers_label(layers: Sequence[int]) -> str:
    """Layers in words: `0-11` for a run, `3`, or `0, 2, 5`."""
    if len(layers) > 1 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}-{layers[-1]}"
    return ", ".join(str(layer) for layer in layers)
