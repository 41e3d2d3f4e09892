"""Turned phases and exchanged bands as claims 15 and 16 and their tables tell them: counts by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.intervened import CONTROLS, exchanged, turned
from fourier_addition.claims.statements import STATEMENTS
from fourier_addition.tables.cells import exchange, steering
from test_claims import settings

NAMES = [("mini", 0)]


def place(module: str, layers: str, arm: str, moved: float, *, chosen: bool = False) -> dict[str, object]:
    """A row of places.parquet whose interval is moved -+ 0.01."""
    about = {"module": module, "layers": layers, "arm": arm, "draws": 1, "doses": 3, "examples": 200}
    return about | {
        **{"moved": moved, "moved_low": moved - 0.01, "moved_high": moved + 0.01},
        **{"rest": moved - 0.2, "rest_low": moved - 0.21, "rest_high": moved - 0.19, "chosen": chosen},
    }


PLACES = pd.DataFrame(
    [
        # Block 1 is chosen; what is better elsewhere must not be told.
        place("residual", "0", "turn", 0.95),
        place("residual", "1", "turn", 0.8, chosen=True),
        place("residual", "1", "subspace", 0.01, chosen=True),
        place("residual", "1", "phases", 0.12, chosen=True),
        place("residual", "1", "unused", 0.02, chosen=True),
        place("both", "1", "turn", 0.99),
        place("residual", "0", "phases", 0.5),
    ]
)


def outcome(layers: str, band: str, arm: str, name: str, share: float) -> dict[str, object]:
    """A row of exchange.parquet whose interval is share -+ 0.02."""
    about = {"module": "residual", "layers": layers, "band": band, "arm": arm, "rank": 9, "draws": 1}
    interval = {"share": share, "low": share - 0.02, "high": share + 0.02}
    return about | {"examples": 266, "outcome": name} | interval


EXCHANGED = pd.DataFrame(
    [
        outcome("1", "low", "replace", "magnitude", 0.86),
        outcome("1", "low", "replace", "residue", 0.01),
        outcome("1", "periods", "replace", "residue", 0.88),
        outcome("1", "periods", "replace", "magnitude", 0.02),
        outcome("1", "low", "subspace", "magnitude", 0.03),
        outcome("1", "periods", "phases", "residue", 0.21),
        outcome("1", "high", "phases", "residue", 0.4),
        outcome("1", "unused", "unused", "residue", 0.05),
        outcome("0", "low", "replace", "magnitude", 0.99),
        outcome("0", "periods", "phases", "residue", 0.77),
    ]
)


@pytest.fixture()
def evidence(tmp_path: Path) -> Evidence:
    tables = {"steering": PLACES, "exchange": EXCHANGED}
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
    files = {f"finetuned_{name}": [str(tmp_path / f"{name}.parquet")] for name in tables}
    return Evidence(files, {"finetuned": ["mini"]}, {"mini": "fine-tuned"}, settings(), {"mini": "miniature"})


def measure(claim: str):
    """What reads a claim off."""
    return next(statement.measure for statement in STATEMENTS if statement.claim == claim)


@pytest.mark.parametrize(
    ("claim", "value", "text"),
    [
        ("15a", 0.8, "80.0% of turns after block 1, 60.0% otherwise as it was"),
        # Of the controls the one that moves most.
        ("15b", 0.12, "12.0% of turns after block 1 (random phases)"),
        ("16a", 0.86, "86.0% of 266 pairs, 9 dimensions"),
        ("16b", 0.88, "88.0% of 266 pairs, 9 dimensions"),
        # The band `high` with random phases is no control that the claim names.
        ("16c", 0.21, "21.0% of 266 pairs, 9 dimensions (random phases, periods)"),
    ],
)
def test_a_claim_is_read_after_the_chosen_block(evidence, claim, value, text):
    (found,) = measure(claim)(evidence)
    assert (found.value, found.text) == (pytest.approx(value), text)
    half = 0.01 if claim.startswith("15") else 0.02
    assert (found.low, found.high) == (pytest.approx(value - half), pytest.approx(value + half))


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("15a", "confirmed"),
        ("15b", "confirmed"),
        ("16a", "confirmed"),
        ("16b", "confirmed"),
        ("16c", "undecided"),
    ],
)
def test_its_verdict_needs_the_whole_interval(evidence, claim, verdict):
    # At the defaults: most is 0.5, a control is at most 0.2; 0.21 -+ 0.02 has the limit inside.
    statement = next(statement for statement in STATEMENTS if statement.claim == claim)
    (found,) = statement.measure(evidence)
    assert statement.criterion(settings()).verdict(found.value, found.low, found.high) == verdict


def test_what_was_not_made_is_not_told(evidence):
    assert turned(["no such arm"])(evidence) == [None]
    assert exchanged(["low"], ["replace"], ["no such outcome"])(evidence) == [None]
    assert exchanged(["no such band"], CONTROLS, ["residue"])(evidence) == [None]


def test_cells_of_the_table_of_steering():
    dose = [
        {"module": "residual", "layers": "1", "arm": arm, "delta": delta, "moved": moved, "rest": moved - 0.1}
        for arm, delta, moved in [("turn", 1, 0.91), ("turn", 2, 0.9), ("turn", 3, 0.72), ("phases", 1, 0.3)]
    ]
    # Turns of 5 and 7 numbers were not made, nor a control in module outputs.
    dose.append(dose[0] | {"module": "both", "moved": 0.4, "rest": 0.3})
    dose.append(dose[2] | {"module": "both", "moved": 0.2, "rest": 0.1})
    places = PLACES[PLACES["layers"] == "1"]
    table = steering({"doses": [pd.DataFrame(dose)], "places": [places]}, NAMES)
    assert table.headings[:5] == ["Turned in", "Layers", "By 1", "By 3", "By other numbers"]
    assert table.rows == [
        [
            "residual stream",
            "1",
            "91.0% (81.0%)",
            "72.0% (62.0%)",
            "80.0% [79.0%, 81.0%]",
            "1.0%",
            "12.0%",
            "2.0%",
        ],
        ["attention and MLP", "1", "40.0% (30.0%)", "20.0% (10.0%)", "99.0% [98.0%, 100.0%]", "-", "-", "-"],
    ]
    assert {len(row) for row in table.rows} == {len(table.headings)}


def test_cells_of_the_table_of_exchange():
    rows = [
        outcome("1", "low", "replace", name, share) for name, share in (("magnitude", 0.86), ("other", 0.14))
    ]
    rows += [
        outcome("1", "unused", "unused", name, share) for name, share in (("magnitude", 0.1), ("other", 0.9))
    ]
    table = exchange({"exchange": [pd.DataFrame(rows)]}, NAMES)
    assert table.headings[-2:] == ["Other's magnitude, own residue", "Anything else"]
    start = ["residual stream", "1"]
    assert table.rows == [
        [*start, "low", "other prompt's", "9", "86.0% [84.0%, 88.0%]", "14.0% [12.0%, 16.0%]"],
        [*start, "unused", "unused periods", "9", "10.0% [8.0%, 12.0%]", "90.0% [88.0%, 92.0%]"],
    ]
