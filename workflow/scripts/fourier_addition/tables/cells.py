"""Kinds of tables: results of jobs in, the cells of a table out.

One function for each kind, and the dictionary `MAKERS`: kind -> function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from fourier_addition.ablation.table1 import MODULE_WORDS, table1_cells, table1_of
from fourier_addition.analysis.accuracy import accuracy_table, arms_table, by_run
from fourier_addition.analysis.prompted import prompted_table
from fourier_addition.analysis.units import top_units
from fourier_addition.api.summary import HEADINGS, api_table
from fourier_addition.tables.writing import TableCells

Results = Mapping[str, list[Any]]
"""Input of the kind -> its tables (or, of a JSON file, what it holds), in the order of `names`."""
Names = Sequence[Any]
"""What the results are of: (run, seed) of each, or the name of each API run."""


STEPS = (1, 3, 5, 7)
"""Turns that the table of steering has a column of, in numbers."""
INTERVENED_WORDS = {**MODULE_WORDS, "residual": "residual stream"}
EXCHANGE_WORDS = {
    "replace": "other prompt's",
    "subspace": "random subspaces",
    "phases": "with random phases",
    "unused": "unused periods",
}
OUTCOME_WORDS = {
    "unchanged": "Unchanged",
    "residue": "Other's residue, own magnitude",
    "magnitude": "Other's magnitude, own residue",
    "source": "Other's answer",
    "other": "Anything else",
    "any magnitude": "Other's residue, any magnitude",
}


def _by_instance(names: Names, found: Sequence[Any]) -> dict[tuple[str, int], Any]:
    """(run, seed) -> result."""
    return {(run, seed): result for (run, seed), result in zip(names, found, strict=True)}


def ablation(results: Results, names: Names) -> TableCells:
    """Table 1 of the paper."""
    (summary,) = results["summary"]
    table = table1_of(summary)
    headings, rows = table1_cells(table)
    return TableCells(table, headings, rows, text_columns=2)


def sensitivity(results: Results, names: Names) -> TableCells:
    """In how many readings each conclusion from table 1 holds."""
    (table,) = results["conclusions"]
    shares = table.groupby("conclusion", sort=False)["holds"].agg(["sum", "count"])
    rows = [[str(name), f"{int(row['sum'])} of {int(row['count'])}"] for name, row in shares.iterrows()]
    return TableCells(table, ["Conclusion", "Readings in which it holds"], rows)


def units(results: Results, names: Names) -> TableCells:
    """The heads and neurons that write most of each band."""
    (found,), (ranks,) = results["units"], results["ranks"]
    table = top_units(found, ranks)
    headings = ["Module", "Band", "Unit", "Share of the band in its layer", "Period", "Share of its power"]
    headings += ["Turns with the answer", "Peaks from the answer", "Fit of the activation (R2)", "Lag"]
    rows = [
        [
            row["module"],
            row["band"],
            f"{row['layer']}.{row['unit']}",
            f"{row['share']:.1%}",
            f"{row['period']:.3g}",
            f"{row['share_of_unit']:.0%}",
            f"{row['alignment']:.2f}",
            f"{row['offset']:+.1f}",
            "-" if pd.isna(row["r2"]) else f"{row['r2']:.2f}",
            "-" if pd.isna(row["lag"]) else f"{row['lag']:+.1f}",
        ]
        for row in table.to_dict("records")
    ]
    return TableCells(table, headings, rows, text_columns=3)


def _interval(low: float, high: float) -> str:
    """An interval of fractions in per cent; a dash where there is none."""
    return "-" if pd.isna(low) else f"{low:.1%} to {high:.1%}"


def _where(row: Mapping[Any, Any]) -> list[str]:
    """A place of interventions in two cells."""
    return [INTERVENED_WORDS[row["module"]], str(row["layers"])]


def steering(results: Results, names: Names) -> TableCells:
    """How often turned phases move the answer's residue by just that, place by place."""
    (doses,), (places,) = results["doses"], results["places"]
    turned = doses[doses["arm"] == "turn"].set_index(["module", "layers", "delta"])
    shown = [delta for delta in STEPS if delta in set(doses["delta"])]
    over = places.set_index(["module", "layers", "arm"])
    probed = {
        "probes": "Circles of probes",
        "least-probes": "By the smallest change",
        "shuffled-probes": "Of shuffled numbers",
    }
    probed = {arm: words for arm, words in probed.items() if arm in set(places["arm"])}
    rows = []
    for row in places[places["arm"] == "turn"].to_dict("records"):
        place = row["module"], row["layers"]
        steps = [turned.loc[(*place, delta)] for delta in shown]
        controls = [(*place, arm) for arm in ("subspace", "phases", "unused", *probed)]
        rows.append(
            [
                *_where(row),
                *(f"{step['moved']:.1%} ({step['rest']:.1%})" for step in steps),
                f"{row['moved']:.1%} [{row['moved_low']:.1%}, {row['moved_high']:.1%}]",
                *(f"{over.loc[key, 'moved']:.1%}" if key in over.index else "-" for key in controls),
            ]
        )
    headings = ["Turned in", "Layers", *(f"By {delta}" for delta in shown), "By other numbers"]
    headings += ["Random planes", "Random angles", "Unused periods", *probed.values()]
    return TableCells(doses, headings, rows, text_columns=2)


def exchange(results: Results, names: Names) -> TableCells:
    """Outcomes of exchanging bands between prompts, place by place."""
    (table,) = results["exchange"]
    told = list(dict.fromkeys(table["outcome"]))
    keys = ["module", "layers", "band", "arm", "rank"]
    rows = []
    for key, group in table.groupby(keys, sort=False):
        shares = group.set_index("outcome")
        place = dict(zip(keys, key, strict=True))
        rows.append(
            [
                *_where(place),
                str(place["band"]),
                EXCHANGE_WORDS[place["arm"]],
                str(place["rank"]),
                *(
                    f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
                    for row in (shares.loc[outcome] for outcome in told)
                ),
            ]
        )
    headings = ["Exchanged in", "Layers", "Band", "Arm", "Rank", *(OUTCOME_WORDS[name] for name in told)]
    return TableCells(table, headings, rows, text_columns=4)


def accuracy(results: Results, names: Names) -> TableCells:
    """Test accuracy of each run, over its seeds."""
    table = accuracy_table(_by_instance(names, results["accuracies"]))
    rows = [
        [
            row["run"],
            str(row["seeds"]),
            str(row["examples"]),
            f"{row['accuracy']:.1%}",
            "-" if pd.isna(row["deviation"]) else f"{row['deviation']:.1%}",
            _interval(row["worst"], row["best"]),
            f"{row['within_2']:.1%}",
            f"{row['within_10']:.1%}",
        ]
        for row in by_run(table, "test").to_dict("records")
    ]
    headings = ["Run", "Seeds", "Test examples", "Exact", "Deviation", "Range", "Within 2", "Within 10"]
    return TableCells(table, headings, rows)


def arms(results: Results, names: Names) -> TableCells:
    """Arms of training side by side (figure 7b): final accuracy, and how soon they reach 99 %."""
    table = arms_table(_by_instance(names, results["accuracies"]), _by_instance(names, results["histories"]))
    rows = [
        [
            row["run"],
            str(row["seeds"]),
            f"{row['accuracy']:.1%}",
            _interval(row["low"], row["high"]),
            f"{row['validation']:.1%}",
            f"{row['reached']} of {row['seeds']}",
            "-" if pd.isna(row["epochs"]) else f"{row['epochs']:g}",
        ]
        for row in table.to_dict("records")
    ]
    headings = [
        "Arm",
        "Seeds",
        "Test",
        "95 % interval over seeds",
        "Validation",
        "Reach 99 %",
        "Epochs to 99 %",
    ]
    return TableCells(table, headings, rows)


def _share_cell(row: Mapping[Any, Any], name: str) -> str:
    """A share with its interval and counts: columns `name`, and `name`_low, _high, _count and _of."""
    count, of = int(row[f"{name}_count"]), int(row[f"{name}_of"])
    if not of:
        return "none"
    return f"{row[name]:.1%} ({row[f'{name}_low']:.1%} to {row[f'{name}_high']:.1%}; {count} of {of})"


def prompted(results: Results, names: Names) -> TableCells:
    """Answers of prompted runs and the shape of their errors (claim 13)."""
    table = prompted_table(_by_instance(names, results["answers"]))
    shares = ("accuracy", "unparsed", "multiples_of_10", "below_6", "even")
    rows = [
        [row["run"], str(row["seed"]), str(row["shots"]), *(_share_cell(row, name) for name in shares)]
        for row in table.to_dict("records")
    ]
    headings = ["Run", "Seed", "Shots", "Exact", "No number", "Errors that are multiples of 10"]
    headings += ["Errors below 6", "Even errors"]
    return TableCells(table, headings, rows)


def digits(results: Results, names: Names) -> TableCells:
    """Answers of several tokens, read token by token."""
    shares = ("digits", "whole", "numbers", "multiples_of_10")
    found = _by_instance(names, results["answers"])
    table = prompted_table(found).assign(
        answer_end=[each["answer_end"] for each in found.values()],
        mass=[each["summary"]["mass"] for each in found.values()],
    )
    rows = [
        [
            row["run"],
            str(row["seed"]),
            str(row["shots"]),
            *(_share_cell(row, name) for name in shares),
            f"{row['mass']:.2f}",
        ]
        for row in table.to_dict("records")
    ]
    headings = ["Run", "Seed", "Shots", "Tokens right", "Whole answers", "Likeliest number"]
    headings += ["Errors that are multiples of 10", "Probability of all numbers"]
    return TableCells(table, headings, rows)


def api(results: Results, names: Names) -> TableCells:
    """Answers and cost of models behind an API (claim 14)."""
    table, rows = api_table(dict(zip(names, results["accuracies"], strict=True)))
    return TableCells(table, HEADINGS, rows)


MAKERS: dict[str, Callable[[Results, Names], TableCells]] = {
    "ablation": ablation,
    "sensitivity": sensitivity,
    "steering": steering,
    "exchange": exchange,
    "units": units,
    "accuracy": accuracy,
    "arms": arms,
    "prompted": prompted,
    "digits": digits,
    "api": api,
}
