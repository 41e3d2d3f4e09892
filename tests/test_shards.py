"""Ablations shared out to several jobs give the bytes of one job."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.outcomes import read_outcomes, write_outcomes
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.study import shard_rows, study_conditions
from fourier_addition.errors import UserError
from fourier_addition.files.manifests import read_manifest
from fourier_addition.fourier import fourier_basis
from fourier_addition.models import Encoded
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.shards import of_ablation as ablation_shards
from fourier_addition.tasks import Task, dataset, in_digit_range, of_split
from study import copy_of_the_tree, planned, replace, snakemake
from tiny import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:The data type")

TABLE = "results/tables/table-1.csv"
FOLDER = "results/runs/mini.finetuned.seed0/ablation/all"
FILES = (TABLE, f"{FOLDER}/summary.parquet", f"{FOLDER}/predictions.parquet")


@pytest.fixture(scope="module")
def prompts():
    """Prompts of two lengths, in no order."""
    rng = np.random.default_rng(0)
    return [Encoded(rng.integers(9, size=4 + n % 2).tolist(), 3 + n % 2) for n in range(23)]


@pytest.mark.parametrize(("batch_size", "parts"), [(1, 23), (2, 5), (4, 6), (8, 1)])
def test_every_example_is_in_one_shard(prompts, batch_size, parts):
    rows = [shard_rows(prompts, batch_size, part, parts) for part in range(parts)]
    assert all(len(part) and (np.diff(part) > 0).all() for part in rows)
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(23))


def test_more_shards_than_batches_are_refused(prompts):
    with pytest.raises(UserError, match="Part 0 of 5 cannot be taken from 4 batches"):
        shard_rows(prompts, 8, 0, 5)


@pytest.mark.parametrize(
    ("shard", "batch_size", "jobs"), [(0, 64, 1), (1000, 64, 4), (10, 64, 54), (9999, 64, 1)]
)
def test_shards_are_counted_before_there_is_a_data_set(shard, batch_size, jobs):
    task = {"operation": "addition", "operands": [0, 260]}
    config = validated(
        {
            "models": {"any": {"sources": [{"path": "any"}]}},
            "tasks": {"addition": task},
            "runs": {"any": {"model": "any", "task": "addition"}},
            "ablations": {"shard": shard, "batch_size": batch_size},
            "figures": {},
        }
    )
    assert ablation_shards(config, "addition", None) == jobs
    examples = of_split(dataset(Task.from_config("addition", config["tasks"]["addition"])), "validation")
    inside = in_digit_range(examples, 0, 99).sum()
    expected = -(-inside // max(shard, batch_size)) if shard else 1
    assert ablation_shards(config, "addition", (0, 99)) == expected


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Outcomes of 12 examples at once, and the folder of three shards of them."""
    view = tiny_model("gpt2", largest=20)
    a = np.arange(12) % 9
    prompts = [f"Total of {n} and {n}. Answer:" if n % 2 else f"Calculate {n} + {n}. Answer:" for n in a]
    ids = view.tokenizer.convert_tokens_to_ids([str(n) for n in range(21)])
    bank = FilterBank(view.unembedding(ids).numpy(), fourier_basis(21, "paper"))
    settings = {"draws": 2, "taus": [0.5], "periods": [2, 5], "period_tolerance": 0.05, "layers": False}
    conditions = study_conditions(bank, view.n_layers, settings, tau=2, cut="component", seed=0)
    encoded = view.encode(prompts)

    def run(rows):
        chosen = [encoded[row] for row in rows]
        return run_conditions(view, chosen, ids, conditions, answers=2 * a[rows], batch_size=2)

    examples = pd.DataFrame({"a": a, "b": a, "template": 0})
    folder = tmp_path_factory.mktemp("shards")
    for part in range(3):
        rows = shard_rows(encoded, 2, part, 3)
        write_outcomes(run(rows).assign_coords(example=rows), examples.iloc[rows], folder / f"{part}.zarr")
    return run(np.arange(12)), folder


def test_shards_join_to_the_same_bits(outcomes):
    whole, folder = outcomes
    joined = read_outcomes([folder / f"{part}.zarr" for part in (2, 0, 1)], 12)
    xr.testing.assert_identical(joined, whole)
    assert list(joined.coords) == list(whole.coords)


def test_a_shard_too_few_or_twice_is_named(outcomes):
    _, folder = outcomes
    with pytest.raises(UserError, match="not each of the 12 once"):
        read_outcomes([folder / "0.zarr", folder / "1.zarr"], 12)
    with pytest.raises(UserError, match="not each of the 12 once"):
        read_outcomes([folder / "0.zarr", folder / "1.zarr", folder / "1.zarr"], 12)


@pytest.mark.workflow
@pytest.mark.system
def test_three_jobs_give_the_tables_of_one(tmp_path):
    folder = copy_of_the_tree(tmp_path, "micro")
    replace(folder / "config/config.yaml", "  draws: 3\n", "  draws: 3\n  batch_size: 2\n")
    snakemake(folder, "--cores", "2", *FILES)
    before = {name: (folder / name).read_bytes() for name in FILES}
    store = read_manifest(folder / FOLDER / "outcomes.json")["digest"]

    replace(folder / "config/config.yaml", "  draws: 3\n", "  draws: 3\n  shard: 3\n")
    assert planned(folder, *FILES) == {"ablate_shard", "join_ablation", "table"}
    output = snakemake(folder, "--cores", "2", *FILES)
    assert output.count("rule ablate_shard:") == 3 and "rule ablate:" not in output
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert read_manifest(folder / FOLDER / "outcomes.json")["digest"] == store
    assert planned(folder, *FILES) == set()

    # Only the summary depends on the number of resamples.
    replace(folder / "config/config.yaml", "bootstrap: 100", "bootstrap: 120")
    assert planned(folder, *FILES) == {"join_ablation", "table"}
