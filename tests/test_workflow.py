"""The whole DAG on a tiny configuration: every rule, every figure, reruns, and faults at the start."""

import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import xarray as xr
import yaml
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.manifests import read_manifest
from fourier_addition.pipeline.verify import verify
from study import ROOT, SNAKEMAKE, copy_of_the_tree, planned, replace, snakemake
from tiny import tiny_model

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished run of the tiny study."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("study"))
    snakemake(folder, "--cores", "2")
    return folder


@pytest.mark.system
def test_every_figure_and_table_is_there(study):
    config = yaml.safe_load((ROOT / "tests/configs/tiny.yaml").read_text())
    for name in config["figures"]:
        for suffix in ("pdf", "png", "csv"):
            assert (study / f"results/figures/{name}.{suffix}").stat().st_size > 0
        assert len(pd.read_csv(study / f"results/figures/{name}.csv")) > 0
    for name in config["tables"]:
        assert {path.suffix for path in (study / "results/tables").glob(f"{name}.*")} == {
            ".csv",
            ".md",
            ".tex",
        }


@pytest.mark.system
def test_claims_say_what_the_other_results_say(study):
    claims = pd.read_csv(study / "results/tables/claims.csv").set_index("claim")
    tested = claims[claims["verdict"] != "not tested"]
    assert set(claims["verdict"]) <= {"confirmed", "refuted", "undecided", "not tested"}
    table1 = pd.read_csv(study / "results/tables/table-1.csv").set_index(["module", "band"])["accuracy"]
    # A model that knows nothing has nothing to lose to a filter.
    no_loss = set() if table1["none", "none"] > 0 else {f"5{letter}" for letter in "abcde"}
    untested = {"2b", "10e", "11a", "11b", "13a", "13b", "13c", "13d", "13e", "14"} | no_loss
    assert set(claims.index) - set(tested.index) == untested
    assert (tested["low"] <= tested["value"]).all() and (tested["value"] <= tested["high"]).all()
    accuracy = pd.read_csv(study / "results/tables/accuracy.csv")
    test = accuracy[accuracy["split"] == "test"].groupby("run")["accuracy"].mean()
    assert claims.loc["1", "value"] == pytest.approx(test["mini.finetuned"])
    difference = test["mini.scratch"] - test["mini.finetuned"]
    assert claims.loc["9a", "value"] == pytest.approx(difference)
    errors = pd.read_csv(study / "results/figures/figure-21.csv")
    facts = errors[errors["panel"] == "a"].set_index("fact")["value"]
    assert claims.loc["6a", "value"] == pytest.approx(facts["errors that are multiples of 10"])
    cells = (study / "results/tables/claims.md").read_text().splitlines()
    assert len(cells) == 2 + len(claims)


@pytest.mark.system
def test_captures_are_sharded_and_labelled(study):
    folder = study / "results/runs/mini.finetuned.seed0/activations/test"
    stores = sorted(folder.glob("*.zarr"))
    assert len(stores) > 1
    capture = open_capture(stores)
    assert capture["module_output"].dims == ("module", "layer", "example", "feature")
    assert (capture["a"] + capture["b"] == capture["answer"]).all()
    assert capture.sizes["state"] == capture.sizes["layer"] + 1


@pytest.mark.system
def test_provenance_names_what_a_result_depends_on(study):
    manifest = read_manifest(study / "results/runs/mini.finetuned.seed0/activations/test/0.json")
    facts = manifest["provenance"]
    assert facts["device"] == "cpu" and facts["rule"] == "capture" and facts["packages"]["torch"]
    (checkpoint,) = [value for key, value in facts["inputs"].items() if key.endswith("checkpoint.json")]
    assert re.fullmatch(r"[0-9a-f]{64}", checkpoint["weights_sha256"])
    assert re.fullmatch(r"[0-9a-f]{16}", facts["params"]["code"])


@pytest.mark.system
def test_ablations_cover_table_controls_and_sweeps(study):
    summary = pd.read_parquet(study / "results/runs/mini.finetuned.seed0/ablation/all/summary.parquet")
    counts = summary["kind"].value_counts()
    assert counts["table"] == 7 and counts["subspace"] == counts["components"] == 18
    assert {"tau", "period", "keep", "layer"} <= set(counts.index)
    outcomes = xr.open_zarr(
        study / "results/runs/mini.finetuned.seed0/ablation/all/outcomes.zarr", consolidated=False
    )
    assert outcomes["prediction"].dims == ("condition", "example")
    assert outcomes.sizes["condition"] == len(summary)
    ranges = sorted(path.name for path in (study / "results/runs/mini.scratch.seed0/ablation").iterdir())
    assert ranges == ["large", "small"]


@pytest.mark.system
def test_nothing_is_left_to_do(study):
    assert planned(study) == set()


@pytest.mark.system
def test_every_manifest_holds(study):
    checked, problems = verify(study / "results")
    assert checked > 10 and problems == []


@pytest.mark.system
def test_a_missing_chunk_is_noticed(study, tmp_path):
    store = study / "results/runs/mini.scratch.seed0/number-rows.zarr"
    chunk = next(path for path in store.rglob("*") if path.is_file() and path.parent.name == "c")
    moved = shutil.move(chunk, tmp_path / "chunk")
    try:
        _, problems = verify(study / "results")
        assert len(problems) == 1 and str(chunk) in problems[0]
    finally:
        shutil.move(moved, chunk)


@pytest.mark.system
def test_a_failing_job_says_one_sentence(study, tmp_path):
    folder = copy_of_the_tree(tmp_path)
    replace(
        folder / "config/config.yaml",
        "sources:\n    - {pretrain: numerals}",
        "sources:\n    - {path: nowhere}",
    )
    replace(folder / "config/config.yaml", "    architecture: {", "    numbers: 31\n    architecture: {")
    output = snakemake(folder, "--cores", "1", "results/models/mini.json", expect=1)
    said = [line for line in output.splitlines() if line.startswith("fetch_model:")]
    assert len(said) == 1 and "nowhere" in said[0]
    assert "Traceback" not in output
    assert not (folder / "results/models/mini").exists()


@pytest.mark.system
def test_a_local_model_goes_through_the_shipped_configuration(tmp_path):
    """What the README tells a stranger to do with a Hugging Face directory of their own."""
    folder = copy_of_the_tree(tmp_path)
    model = tiny_model("gpt2", largest=100, layers=2, width=48)
    model.save(tmp_path / "somewhere")
    (folder / "my-model").symlink_to(tmp_path / "somewhere")
    snakemake(folder, "--cores", "2", "--configfile", "config/local.yaml")
    config = yaml.safe_load((folder / "config/local.yaml").read_text())
    for name in config["figures"]:
        assert (folder / f"results/figures/{name}.png").stat().st_size > 0
    accuracy = pd.read_csv(folder / "results/tables/accuracy.csv")
    assert set(accuracy["run"]) == {"mine.as-it-comes"}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("epochs: 3", "epoch: 3", "`runs.mini.finetuned.epoch` is not known"),
        ("epochs: 3", "epochs: -3", "`runs.mini.finetuned.epochs` must be at least 0, not -3"),
        ("model: mini\n", "model: maxi\n", "names the model 'maxi', which is not in the configuration"),
        ("operands: [0, 15]", "operands: [0, 16]", "needs the numbers 0..32, but number 31 is not one token"),
    ],
)
def test_a_bad_configuration_stops_before_any_job(tmp_path, old, new, sentence):
    folder = copy_of_the_tree(tmp_path)
    replace(folder / "config/config.yaml", old, new)
    output = snakemake(folder, "-n", expect=1)
    assert sentence in output and "Traceback" not in output


@pytest.mark.parametrize(
    "config", sorted(p.name for p in (ROOT / "config").glob("*.yaml") if p.name != "schema.yaml")
)
def test_dry_runs_build_the_dag_without_torch(tmp_path, config):
    folder = copy_of_the_tree(tmp_path)
    shutil.copy2(ROOT / "config" / config, folder / "config/config.yaml")
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "transformers"):
        (blocked / f"{name}.py").write_text("raise ImportError('not while the DAG is built')\n")
    environment = {**os.environ, "PYTHONPATH": str(blocked)}
    ran = subprocess.run([*SNAKEMAKE, "-n"], cwd=folder, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_it_is_planned_from_any_folder_with_its_own_configuration_and_profile(tmp_path, snakefile):
    folder = tmp_path / "workflow-lies-here"
    folder.mkdir()
    copy_of_the_tree(folder, "micro")
    place = ("--snakefile", str(folder / snakefile), "--directory", "run", "-n")
    profiles = (folder / snakefile).parent / "profiles"
    output = snakemake(tmp_path, *place)
    assert f"workflow specific profile {profiles}/default" in output and "rule figure_waves:" in output
    output = snakemake(tmp_path, *place, "--workflow-profile", "slurm")
    assert f"workflow specific profile {profiles}/slurm" in output
    output = snakemake(tmp_path, *place, "--workflow-profile", "profiles/slurm", expect=1)
    assert f"There is no profile profiles/slurm in {tmp_path}, nor" in output and "Traceback" not in output
    assert f"--workflow-profile {profiles}/slurm" in output


@pytest.mark.system
def test_scripts_also_run_alone(study):
    """`python workflow/scripts/x.py` makes its default outputs, through the mock Snakemake object."""
    table = study / "results/tables/table-1.csv"
    before = table.read_text()
    table.unlink()
    ran = subprocess.run(
        [sys.executable, "workflow/scripts/table.py"],
        cwd=study,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(study / "workflow/scripts")},
    )
    assert ran.returncode == 0, ran.stderr
    assert table.read_text() == before


@pytest.mark.system
def test_the_report_builds(study):
    pytest.importorskip("pygments")
    snakemake(study, "--report", "report.html")
    assert (study / "report.html").stat().st_size > 100_000


@pytest.mark.system
def test_same_configuration_same_data(study, tmp_path):
    folder = copy_of_the_tree(tmp_path)
    targets = [f"results/figures/{name}.csv" for name in ("figure-3", "figure-11", "ablation-tau")]
    snakemake(folder, "--cores", "2", *targets)
    for target in targets:
        assert (folder / target).read_bytes() == (study / target).read_bytes()
    weights = "results/runs/mini.finetuned.seed0/checkpoint/model.safetensors"
    assert (folder / weights).read_bytes() == (study / weights).read_bytes()
    assert json.loads((folder / "results/runs/mini.finetuned.seed0/accuracy.json").read_text())
