"""Tables as views on runs: every kind of table in one record, and what a table reads.

To add a kind: one `TableKind` below, and the function that makes its cells in `tables/cells.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fourier_addition.errors import UserError
from fourier_addition.pipeline.claim_inputs import check_roles, claim_files
from fourier_addition.pipeline.config_errors import require_known
from fourier_addition.pipeline.inputs import Input, Shown, of_api_run, of_run, of_seeds
from fourier_addition.pipeline.run_checks import (
    Check,
    check_asked,
    check_interventions,
    check_number_tokens,
    check_seed,
    check_trained,
    check_units,
)

KEYS = {"run": "run", "runs": "runs", "API runs": "runs", "roles": "roles"}
"""What a table is of -> the key of its configuration that names them."""


@dataclass(frozen=True)
class TableKind:
    """One kind of table.

    of: one run with one seed, runs with all their seeds, runs of APIs, or the roles of the paper.
    inputs: name -> files, as the function that makes the cells calls them; those of `roles` are in
    `claim_inputs.ROLES`. checks: what must hold of every run.
    """

    name: str
    description: str
    of: Literal["run", "runs", "API runs", "roles"]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


_KINDS = (
    TableKind(
        name="ablation",
        description="table 1 of the paper: loss and accuracy under each filter beside random subspaces",
        of="run",
        inputs={"summary": of_run("ablation/all/summary.parquet")},
        checks=(check_number_tokens,),
    ),
    TableKind(
        name="sensitivity",
        description="the conclusions from table 1 under every reading",
        of="run",
        inputs={"conclusions": of_run("ablation/conclusions.parquet")},
        checks=(check_number_tokens,),
    ),
    TableKind(
        name="steering",
        description="how often turned phases move the answer's residue by just that, place by place",
        of="run",
        inputs={
            "doses": of_run("mechanism/steering/doses.parquet"),
            "places": of_run("mechanism/steering/places.parquet"),
        },
        checks=(check_number_tokens, check_interventions),
    ),
    TableKind(
        name="exchange",
        description="outcomes of exchanging bands between prompts, place by place",
        of="run",
        inputs={"exchange": of_run("mechanism/exchange/outcomes.parquet")},
        checks=(check_number_tokens, check_interventions),
    ),
    TableKind(
        name="units",
        description="the heads and neurons that write most of each band: period, phase, fit to the answer",
        of="run",
        inputs={"units": of_run("units/units.parquet"), "ranks": of_run("units/ranks.parquet")},
        checks=(check_units,),
    ),
    TableKind(
        name="accuracy",
        description="accuracy of runs on every split",
        of="runs",
        inputs={"accuracies": of_seeds("accuracy.json")},
    ),
    TableKind(
        name="arms",
        description="final accuracy over seeds with intervals, and epochs to 99 % on validation",
        of="runs",
        inputs={"accuracies": of_seeds("accuracy.json"), "histories": of_seeds("history.parquet")},
        checks=(check_trained,),
    ),
    TableKind(
        name="prompted",
        description="answers and errors of prompted runs",
        of="runs",
        inputs={"answers": of_seeds("answers.json")},
        checks=(check_asked,),
    ),
    TableKind(
        name="digits",
        description="answers of several tokens: accuracy of tokens, whole answers and likeliest numbers",
        of="runs",
        inputs={"answers": of_seeds("digits.json")},
        checks=(check_asked,),
    ),
    TableKind(
        name="api",
        description="answers and cost of models behind an API (`api_runs`)",
        of="API runs",
        inputs={"accuracies": of_api_run("accuracy.json")},
    ),
    TableKind(
        name="claims",
        description="every claim of the paper: confirmed, refuted, undecided or not tested",
        of="roles",
    ),
)

TABLE_KINDS: dict[str, TableKind] = {kind.name: kind for kind in _KINDS}
"""Every kind of table, by name."""
PAPER_TABLES = {"table-1": "ablation"}
"""The paper's tables, and the kind of each."""


def _shown(config: Mapping[str, Any], table: Mapping[str, Any]) -> Shown:
    kind = TABLE_KINDS[table["kind"]]
    names = [table["run"]] if kind.of == "run" else table["runs"]
    if kind.of == "API runs":
        return Shown(config, table["seed"], api_runs=names)
    return Shown(config, table["seed"], runs=names)


def table_files(config: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    """Results that a table reads: name -> paths. config: checked. name: of the table."""
    table = config["tables"][name]
    kind = TABLE_KINDS[table["kind"]]
    if kind.of == "roles":
        return claim_files(config, name)
    return {key: paths_of(_shown(config, table)) for key, paths_of in kind.inputs.items()}


def table_names(config: Mapping[str, Any], name: str) -> list[Any]:
    """What the results of a table are of, in their order: API runs, or (run, seed) of each."""
    table = config["tables"][name]
    shown = _shown(config, table)
    if TABLE_KINDS[table["kind"]].of == "run":
        return [(run, shown.seed) for run in shown.runs]
    return list(shown.api_runs) or shown.every_seed()


def check_tables(config: Mapping[str, Any]) -> None:
    """Give the paper's tables their kind. Raise UserError for a table that its kind does not allow."""
    for name, table in config["tables"].items():
        where = f"tables.{name}"
        if name in PAPER_TABLES:
            table["kind"] = PAPER_TABLES[name]
        if "kind" not in table:
            known = ", ".join(f"`{each}`" for each in PAPER_TABLES)
            raise UserError(f"Config key `{where}.kind` is missing: only {known} has one of its own.")
        if table["kind"] not in TABLE_KINDS:
            raise UserError(f"Config key `{where}.kind` must be one of {', '.join(TABLE_KINDS)}.")
        _check_table(config, table, where)


def _check_table(config: Mapping[str, Any], table: Mapping[str, Any], where: str) -> None:
    """Raise UserError where a table's kind cannot show what the table names. where: key of the table."""
    kind = TABLE_KINDS[table["kind"]]
    key = KEYS[kind.of]
    if key not in table:
        raise UserError(f"Config key `{where}.{key}` is missing: a table of kind {kind.name} needs it.")
    if kind.of == "roles":
        check_roles(config, table, where)
        return
    shown = _shown(config, table)
    for run in shown.api_runs:
        require_known(run, f"{where}.{key}", config["api_runs"], "API run")
    for run in shown.runs:
        require_known(run, f"{where}.{key}", config["runs"], "run")
        if kind.of == "run":
            check_seed(config, run, table["seed"], f"{where}.seed")
        for check in kind.checks:
            check(config, run, f"{where}.{key}")
