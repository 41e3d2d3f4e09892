"""Predictions under conditions, as filters and interventions keep them example by example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.explorer.examples import Key, keys_of

ABOUT = ("condition", "kind", "band", "module", "layers", "draw", "control_of", "value")


@dataclass(frozen=True)
class Outcomes:
    """conditions: one row a condition, the columns of `ABOUT`. examples: columns a, b, template, answer.

    prediction: (condition, example).
    """

    conditions: pd.DataFrame
    examples: pd.DataFrame
    prediction: np.ndarray

    @classmethod
    def of(cls, store: xr.Dataset) -> Outcomes:
        """From what `ablation.outcomes.write_outcomes` wrote."""
        conditions = pd.DataFrame(
            {
                name: store[name].to_numpy()
                if store[name].dtype.kind in "iuf"
                else list(map(str, store[name].to_numpy()))
                for name in ABOUT
            }
        )
        examples = pd.DataFrame({name: store[name].to_numpy() for name in ("a", "b", "template", "answer")})
        return cls(conditions, examples, store["prediction"].to_numpy())

    @property
    def keys(self) -> list[Key]:
        """The key of every example."""
        return keys_of(self.examples)

    def answers(self) -> dict[Key, int]:
        """The right answer of every example."""
        return dict(zip(self.keys, self.examples["answer"].astype(int).tolist(), strict=True))


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """Outcomes of one or more ranges of examples as one; a range with other conditions is left out."""
    first = parts[0]
    alike = [part for part in parts if part.conditions["condition"].equals(first.conditions["condition"])]
    return Outcomes(
        first.conditions,
        pd.concat([part.examples for part in alike], ignore_index=True),
        np.concatenate([part.prediction for part in alike], axis=1),
    )
