"""What `make verify` says of results that are not as their jobs wrote them."""

import subprocess
import sys

import pytest
from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.whole import write_json
from fourier_addition.pipeline.code_digest import SCRIPTS
from fourier_addition.pipeline.verify import verify


@pytest.fixture()
def results(tmp_path):
    """A Zarr store, a checkpoint and a model with their manifests, and a result that is plain JSON."""
    for place in ("runs/a.seed0/number-rows.zarr", "runs/a.seed0/checkpoint", "models/org.name"):
        folder = tmp_path / place
        (folder / "c").mkdir(parents=True)
        (folder / ("zarr.json" if place.endswith("zarr") else "config.json")).write_text("{}")
        (folder / "c/0").write_bytes(b"numbers")
        beside = folder.with_name(folder.name.removesuffix(".zarr") + ".json")
        write_manifest(beside, folder, provenance={"seed": 0})
    write_json({"test": {"accuracy": 1.0}}, tmp_path / "runs/a.seed0/accuracy.json")
    return tmp_path


def test_results_as_they_were_written(results):
    assert verify(results) == (3, [])


STORES = ("runs/a.seed0/number-rows.zarr", "runs/a.seed0/checkpoint", "models/org.name")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda folder: (folder / "c/0").write_bytes(b"numberz"), "c/0 has changed since it was written."),
        (lambda folder: (folder / "c/0").write_bytes(b"numb"), "c/0 has changed since it was written."),
        (lambda folder: (folder / "c/0").unlink(), "c/0 is missing."),
        (lambda folder: (folder / "c/1").touch(), "c/1 was not written by its job."),
    ],
)
def test_each_file_at_fault_is_named(results, store, edit, sentence):
    edit(results / store)
    assert verify(results) == (3, [f"{results / store}/{sentence}"])


@pytest.mark.parametrize("store", STORES)
def test_a_store_without_its_manifest(results, store):
    (results / (store.removesuffix(".zarr") + ".json")).unlink()
    assert verify(results) == (2, [f"{results / store} has no manifest beside it."])


def test_a_manifest_without_its_store(results):
    store = results / STORES[0]
    store.rename(results / "elsewhere")
    _, problems = verify(results)
    assert sorted(problems) == sorted(
        [f"{store} is missing.", f"{results / 'elsewhere'} has no manifest beside it."]
    )


def test_a_manifest_cut_short(results):
    manifest = results / "runs/a.seed0/checkpoint.json"
    manifest.write_text(manifest.read_text()[:100])
    checked, problems = verify(results)
    assert checked == 3 and len(problems) == 1
    assert problems[0].startswith(f"{manifest} is not valid JSON")


def test_what_a_killed_job_left(results):
    (results / "runs/a.seed0/.number-rows.zarr.partial").mkdir()
    (problem,) = verify(results)[1]
    assert ".number-rows.zarr.partial" in problem and "killed" in problem


def test_the_command(results):
    def run():
        return subprocess.run(
            [sys.executable, "-m", "fourier_addition.pipeline.verify", str(results)],
            env={"PYTHONPATH": str(SCRIPTS)},
            capture_output=True,
            text=True,
        )

    assert (run().returncode, run().stdout) == (0, "3 manifests checked, 0 problems.\n")
    (results / STORES[0] / "c/0").unlink()
    ran = run()
    assert ran.returncode == 1 and f"{results / STORES[0]}/c/0 is missing." in ran.stdout
