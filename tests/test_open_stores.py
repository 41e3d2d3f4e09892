"""What a user sees who opens a store of the results with xarray or zarr: the data, and no warning.

Snakemake leaves a file `.snakemake_timestamp` in every directory that a rule makes. Zarr warns of such a
file when it lists a folder; it lists none where the metadata are consolidated.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from fourier_addition.ablation.outcomes import write_outcomes
from fourier_addition.capture.number_rows import write_number_rows
from fourier_addition.capture.record import capture
from tiny import number_ids, tiny_model

LARGEST = 20
WAYS = {
    "open_zarr": lambda path: xr.open_zarr(path),
    "open_dataset": lambda path: xr.open_dataset(path, engine="zarr"),
    "open_group": lambda path: zarr.open_group(path, mode="r"),
    "members": lambda path: list(zarr.open_group(path, mode="r").members()),
    "names": lambda path: list(zarr.open_group(path, mode="r")),
    "tree": lambda path: zarr.open_group(path, mode="r").info_complete(),
}


def write_capture(path):
    view = tiny_model("gpt2", layers=2, largest=LARGEST)
    table = pd.DataFrame({"a": [1, 2], "b": [3, 4], "answer": [4, 6], "template": "{a} + {b} ="})
    prompts = ["1 + 3 =", "2 + 4 ="]
    capture(view, prompts, table, number_ids(view.tokenizer, LARGEST), path, batch_size=2, block=2)


def write_rows(path):
    view = tiny_model("gpt2", layers=2, largest=LARGEST)
    write_number_rows(view, number_ids(view.tokenizer, LARGEST), path)


def write_predictions(path):
    dims, size = ("condition", "example"), (2, 3)
    outcomes = xr.Dataset(
        {"prediction": (dims, np.zeros(size, np.int32)), "loss": (dims, np.ones(size, np.float32))},
        coords={"condition": ["none", "mlp-low"], "answer": ("example", [1, 2, 3])},
    )
    write_outcomes(outcomes, pd.DataFrame({"a": [0, 1, 2], "b": 1, "template": "{a}"}), path)


WRITERS = {"capture": write_capture, "number-rows": write_rows, "outcomes": write_predictions}


@pytest.fixture(scope="module", params=WRITERS)
def store(request, tmp_path_factory):
    """A store as it lies among the results, with Snakemake's file in it."""
    path = tmp_path_factory.mktemp("stores") / f"{request.param}.zarr"
    WRITERS[request.param](path)
    (path / ".snakemake_timestamp").touch()
    return path


@pytest.mark.parametrize("way", WAYS)
def test_opening_a_store_warns_of_nothing(store, way):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert WAYS[way](store)


def test_without_consolidated_metadata_zarr_would_warn(store):
    with pytest.warns(UserWarning, match="snakemake_timestamp"):
        list(zarr.open_group(store, mode="r", use_consolidated=False).members())
