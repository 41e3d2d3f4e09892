"""How the figures of claims 15 and 16 are read off turned phases and exchanged bands.

All are read after one block, which is chosen by turns that no figure counts (`steering.chosen_block`).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.read_off import Findings, Reading
from fourier_addition.claims.verdict import Measured

CONTROLS = ("subspace", "phases", "unused")
"""Controls of an intervention: random planes, random phases, periods that the numbers do not use."""
ARM_WORDS = {"subspace": "random planes", "phases": "random phases", "unused": "unused periods"}
"""What a control of an intervention is called."""


def _at_the_chosen_block(evidence: Evidence, table: str) -> pd.DataFrame:
    """Rows of a table of interventions after the block that steering chose (`steering.chosen_block`)."""
    places = evidence.table("finetuned", "steering")
    at = places[places["chosen"]].iloc[0]
    found = evidence.table("finetuned", table)
    here: pd.DataFrame = found[(found["module"] == at["module"]) & (found["layers"] == at["layers"])]
    return here


def turned(arms: Sequence[str]) -> Reading:
    """Share of turns that move the last digit by just that; of several arms the one that does most."""

    def read(evidence: Evidence) -> Findings:
        rows = _at_the_chosen_block(evidence, "steering")
        rows = rows[rows["arm"].isin(arms)]
        if rows.empty:
            return [None]
        most = rows.iloc[int(rows["moved"].to_numpy().argmax())]
        text = f"{most['moved']:.1%} of turns after block {most['layers']}"
        text += (
            f" ({ARM_WORDS[most['arm']]})" if len(arms) > 1 else f", {most['rest']:.1%} otherwise as it was"
        )
        shown = evidence.label("finetuned")
        return [Measured(most["moved"], most["moved_low"], most["moved_high"], text, "examples", shown)]

    return read


def exchanged(bands: Sequence[str], arms: Sequence[str], outcomes: Sequence[str]) -> Reading:
    """Share of an outcome of exchanges; of several bands, arms and outcomes the largest."""

    def read(evidence: Evidence) -> Findings:
        rows = _at_the_chosen_block(evidence, "exchange")
        rows = rows[rows["band"].isin(bands) & rows["arm"].isin(arms) & rows["outcome"].isin(outcomes)]
        if rows.empty:
            return [None]
        most = rows.iloc[int(rows["share"].to_numpy().argmax())]
        text = f"{most['share']:.1%} of {most['examples']} pairs, {most['rank']} dimensions"
        text += f" ({ARM_WORDS[most['arm']]}, {most['band']})" if len(arms) > 1 else ""
        shown = evidence.label("finetuned")
        return [Measured(most["share"], most["low"], most["high"], text, "examples", shown)]

    return read
