"""The results of a study that a table of claims reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import pandas as pd

from fourier_addition.files.manifests import read_json


class Evidence:
    """Results of the runs and models that a table of claims names, by their role.

    A role is the part that a run or a model plays in the paper, as `finetuned` or `embeddings`.

    files: `{role}_{what}` -> paths, as `finetuned_lens`. runs: role -> names. labels: name of a
    run or model -> what figures call it. settings: the configuration's `claims`, and beside them
    `unharmed` and `harmed` of its ablations, `lens_norm`, `null_level` and `seed` of its analysis,
    `tau` of the fine-tuned run and `untested` of the table. models: name of a run or model -> which model it
    is, and whether its weights are real, as `gpt2-xl (real weights)`.
    """

    def __init__(
        self,
        files: Mapping[str, Sequence[str]],
        runs: Mapping[str, Sequence[str]],
        labels: Mapping[str, str],
        settings: Mapping[str, Any],
        models: Mapping[str, str],
    ) -> None:
        self.files, self.runs, self.labels, self.settings = files, runs, labels, settings
        self.models = models

    def label(self, role: str, index: int = 0) -> str:
        """What figures call the run or model of a role. index: which one, where a role has several."""
        return self.labels[self.runs[role][index]]

    def model(self, roles: Sequence[str], index: int) -> str:
        """The models that a figure is about: those of the roles' runs; index as for `label`."""
        names = [runs[min(index, len(runs) - 1)] for runs in (self.runs[role] for role in roles)]
        return ", ".join(dict.fromkeys(self.models[name] for name in names))

    def table(self, role: str, what: str, index: int = 0) -> pd.DataFrame:
        """One result that is a table."""
        return pd.read_parquet(self.files[f"{role}_{what}"][index])

    def json(self, role: str, what: str, index: int = 0) -> dict[str, Any]:
        """One result that is JSON."""
        return cast(dict[str, Any], read_json(self.files[f"{role}_{what}"][index]))

    def tests(self, role: str) -> list[dict[str, Any]]:
        """Results of a role's run on its test split, one a seed: examples, accuracy, within_2, within_10."""
        return [read_json(path)["test"] for path in dict.fromkeys(self.files[f"{role}_accuracy"])]

    def histories(self, role: str) -> list[pd.DataFrame]:
        """Validation accuracy of a role's run by epoch, one table a seed: epoch, accuracy."""
        return [pd.read_parquet(path) for path in self.files[f"{role}_history"]]

    @cached_property
    def table1(self) -> pd.DataFrame:
        """Rows of table 1 of the fine-tuned run, by module and removed band."""
        summary = self.table("finetuned", "summary")
        return summary[summary["kind"] == "table"].set_index(["module", "band"])
