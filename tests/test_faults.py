"""Kills, full and read-only disks, damaged files: one sentence, nothing half-made, and a good end."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys

import faults
import numpy as np
import pandas as pd
import pytest
import yaml
from fourier_addition.capture.dataset import open_capture
from fourier_addition.capture.store import create_store, plan_arrays, write_block
from fourier_addition.errors import UserError
from fourier_addition.files.checks import require_whole
from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.parquet import ENTRY, write_parquet
from fourier_addition.files.whole import write_json
from fourier_addition.pipeline.verify import verify
from hub_server import HubServer
from study import ROOT, SNAKEMAKE, snakemake
from tiny import tiny_model

pytestmark = pytest.mark.workflow

SEED = 20240610
WEIGHTS = "model.safetensors"
TUNED = "results/runs/mini.finetuned.seed0"
CHUNK = f"{TUNED}/activations/test/0.zarr/module_output/c/0/0/0/0"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with one model of 22 MB, which needs several blocks to arrive."""
    model = tmp_path_factory.mktemp("served") / "model"
    tiny_model("gpt2", model, layers=2, width=480)
    with HubServer({faults.REPOSITORY: model}) as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(hub, tmp_path_factory):
    """A finished study that nothing happened to, and how long its stages' jobs took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    faults.study_to_hurt(folder, hub.revisions[faults.REPOSITORY])
    environment = hub.environment(tmp_path_factory.mktemp("home"))
    return folder, faults.durations([*SNAKEMAKE, *faults.TARGETS, "--cores", "2"], folder, environment)


@pytest.mark.system
def test_kills_at_random_moments_change_nothing(hub, undisturbed, tmp_path):
    reference, seconds = undisturbed
    folder = faults.study_to_hurt(tmp_path / "study", hub.revisions[faults.REPOSITORY])
    size = (hub.repositories[faults.REPOSITORY] / WEIGHTS).stat().st_size
    before = len(hub.log)
    hub.pace = size / 4
    killer = faults.Killer(
        folder, hub.environment(tmp_path / "home"), {**seconds, "download": seconds["download"] + 4}, SEED
    )
    try:
        killer.to_the_end()
    finally:
        hub.pace = None
    kinds = sorted({kind for _, kind in killer.counts})
    for stage in faults.STAGES.values():
        print(f"{stage:12} " + ", ".join(f"{kind} {killer.counts[stage, kind]}" for kind in kinds))
    print(f"{killer.counts.total()} kills in {killer.starts} starts of Snakemake")
    assert killer.counts.total() >= 30
    assert all(killer.killed(stage) >= 3 for stage in faults.STAGES.values())
    assert all(sum(killer.counts[s, kind] for s in faults.STAGES.values()) >= 3 for kind in faults.KINDS)
    assert killer.resumed == set(faults.PROGRESS)
    assert faults.data(folder) == faults.data(reference)
    assert verify(folder / "results")[1] == []
    assert faults.unfinished(folder) == []
    assert faults.unfinished(tmp_path / "home") == []
    assert any(request.range for request in hub.log[before:] if request.storage)
    assert "Nothing to be done" in snakemake(folder, *faults.TARGETS, "--cores", "2")


@pytest.fixture()
def study(undisturbed, tmp_path):
    """A copy of the finished study in which nothing is left to do."""
    folder = tmp_path / "study"
    shutil.copytree(undisturbed[0], folder, symlinks=True)
    return folder


@pytest.mark.system
def test_a_full_disk(study, undisturbed):
    made = {
        "train": "results/runs/mini.scratch.seed0",
        "capture": f"{TUNED}/activations",
        "ablate": f"{TUNED}/ablation",
        "figure_waves": "results/figures/figure-4.*",
    }
    # What was made from them is there, so Snakemake has to be asked for them.
    targets = (
        "all results/runs/mini.scratch.seed0/checkpoint.json "
        f"{TUNED}/activations/test/0.json {TUNED}/ablation/all/summary.parquet"
    )
    faults.in_own_mounts(
        f"""
        fill() {{ fallocate -l $(($(df --output=avail -B1 results | tail -1) - 8192)) results/filler; }}
        mv results kept
        mkdir results
        mount -t tmpfs -o size=64m none results
        cp -a kept/. results/
        rm -r {made["figure_waves"]}
        fill
        $SNAKEMAKE --cores 2 > full.out 2>&1 && exit 9
        rm -r results/filler {" ".join(made[rule] for rule in made if rule != "figure_waves")}
        fill
        $SNAKEMAKE {targets} --cores 2 >> full.out 2>&1 && exit 9
        find results -type f > full.files
        rm results/filler
        $SNAKEMAKE {targets} --cores 2 > room.out 2>&1
        cp -a results again
        """,
        study,
    )
    said = dict(found := faults.sentences((study / "full.out").read_text()))
    assert sorted(rule for rule, _ in found) == sorted(made)
    for rule, place in made.items():
        assert said[rule].startswith(place.rstrip("*")) and "the disk is full" in said[rule], said
    left = (study / "full.files").read_text()
    assert not [place for place in made.values() if place.rstrip("*") in left]
    assert "partial" not in left
    shutil.rmtree(study / "results")
    (study / "again").rename(study / "results")
    assert faults.data(study) == faults.data(undisturbed[0])
    assert verify(study / "results")[1] == []
    assert faults.unfinished(study) == []


@pytest.mark.system
def test_a_read_only_folder(study):
    faults.in_own_mounts(
        """
        rm results/figures/figure-4.*
        mount --bind results results
        mount -o remount,bind,ro results
        $SNAKEMAKE --cores 2 > all.out 2>&1 && exit 9
        umount results
        mount --bind results/figures results/figures
        mount -o remount,bind,ro results/figures
        $SNAKEMAKE --cores 2 > figures.out 2>&1 && exit 9
        umount results/figures
        $SNAKEMAKE --cores 2 > writable.out 2>&1
        """,
        study,
    )
    for name, folder in (("all", "results"), ("figures", "results/figures")):
        output = (study / f"{name}.out").read_text()
        assert "Traceback" not in output
        assert output.count(f"The folder {study / folder}") == 1
        assert re.search(rf"^The folder {study}/results.* cannot be written to: .*$", output, re.MULTILINE)
    assert (study / "results/figures/figure-4.csv").exists()


@pytest.mark.system
def test_damaged_results_become_no_figure(study, undisturbed, hub, tmp_path):
    faults.halve(study / CHUNK)
    faults.flip(study / f"{TUNED}/checkpoint/model.safetensors")
    faults.halve(study / f"results/models/fetched/{WEIGHTS}")
    problems = verify(study / "results")[1]
    for path in (CHUNK, f"{TUNED}/checkpoint/{WEIGHTS}", f"results/models/fetched/{WEIGHTS}"):
        assert len([problem for problem in problems if str(study / path) in problem]) == 1
    # No size or time of a file inside a folder tells Snakemake that anything has changed.
    rules = ["spectra", "lens", "ablate", "number_rows_of_model"]
    readout = "results/embeddings/fetched/number-rows.json"
    found = faults.sentences(snakemake(study, "all", readout, "--cores", "2", "--forcerun", *rules, expect=1))
    said = dict(found)
    assert sorted(rule for rule, _ in found) == sorted(rules)
    assert CHUNK in said["spectra"] and CHUNK in said["lens"]
    assert f"{TUNED}/checkpoint/{WEIGHTS}" in said["ablate"]
    assert f"results/models/fetched/{WEIGHTS}" in said["number_rows_of_model"]
    assert (
        not (study / f"{TUNED}/spectra.parquet").exists() and not (study / f"{TUNED}/lens.parquet").exists()
    )

    faults.halve(study / "results/runs/mini.finetuned.seed0/accuracy.json")
    faults.flip(study / "results/datasets/addition-8.parquet")
    targets = ("results/tables/accuracy.csv", "results/runs/mini.scratch.seed0/checkpoint.json")
    more = faults.sentences(
        snakemake(study, "--cores", "2", *targets, "--forcerun", "table", "train", expect=1)
    )
    assert [rule for rule, _ in more] == ["train", "train"]
    assert all("results/datasets/addition-8.parquet is damaged" in sentence for _, sentence in more)

    for _, sentence in found + more:
        (damaged,) = re.findall(r"delete (\S+) and start again", sentence)
        (study / damaged).unlink(missing_ok=True)
    # Snakemake makes what something missing needs: figures that were drawn before stay as they are.
    for views in ("figures", "tables"):
        shutil.rmtree(study / "results" / views)
    environment = hub.environment(tmp_path / "home")
    snakemake(study, *faults.TARGETS, "--cores", "2", environment=environment)
    assert faults.data(study) == faults.data(undisturbed[0])
    assert verify(study / "results")[1] == []


@pytest.fixture()
def models(undisturbed, tmp_path):
    """A study whose models are local directories: cut off, not safetensors, another one than asked for."""
    source = undisturbed[0] / "results/models/mini"
    for name in ("cut", "garbled", "other"):
        shutil.copytree(source, tmp_path / name)
    faults.halve(tmp_path / "cut" / WEIGHTS)
    (tmp_path / "garbled" / WEIGHTS).write_bytes(bytes(range(256)) * 64)
    folder = faults.study_to_hurt(tmp_path / "study")
    path = folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["models"] |= {
        name: {"sources": [{"path": str(tmp_path / name)}]} for name in ("cut", "garbled", "other")
    }
    config["models"]["other"]["sha256"] = "0" * 64
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


@pytest.mark.system
def test_damaged_models_from_outside(models):
    targets = [f"results/models/{name}.json" for name in ("cut", "garbled", "other")]
    said = faults.sentences(snakemake(models, "--cores", "2", *targets, expect=1))
    reasons = {
        "cut": f"{WEIGHTS} is truncated",
        "garbled": f"{WEIGHTS} is truncated",
        "other": "have SHA-256",
    }
    for name, reason in reasons.items():
        (sentence,) = [sentence for _, sentence in said if f"models.{name}" in sentence]
        assert reason in sentence
    assert not list((models / "results/models").glob("*"))


@pytest.mark.system
def test_beside_another_workflow_nothing_is_looked_at(study):
    """Its files come and go: what they say about what is to be made is out of date at once."""
    command = [*SNAKEMAKE, "--cores", "1", "--forcerun", "figure_waves"]
    with (study / ".snakemake/running.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("process 1 on here, since then")
        held.flush()
        refused = subprocess.run(command, cwd=study, capture_output=True, text=True)
        dry = subprocess.run([*command, "--dry-run"], cwd=study, capture_output=True, text=True)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert "\nAnother Snakemake (process 1 on here, since then) is at work in " in said
    assert "Building DAG" not in said
    assert "Traceback" not in said
    assert dry.returncode == 0
    assert "Building DAG" in dry.stdout + dry.stderr


@pytest.mark.system
def test_two_workflows_in_one_folder(study, undisturbed):
    command = [*SNAKEMAKE, "--cores", "1", "--forcerun", "figure_waves", "figure_errors", "figure_spectrum"]
    both = [
        subprocess.Popen(
            command,
            cwd=study,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], outputs
    refused = outputs[codes.index(1)]
    assert "Traceback" not in refused
    assert (
        len(re.findall(r"^Another Snakemake \(process \d+ on .* is at work in .*$", refused, re.MULTILINE))
        == 1
    )
    assert faults.data(study) == faults.data(undisturbed[0])
    assert verify(study / "results")[1] == []


# Readers, without a workflow


def test_no_bit_of_a_table_changes_unnoticed(tmp_path):
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"x": np.arange(20.0), "name": ["a", "b"] * 10})
    write_parquet(table, path)
    require_whole(path)
    assert pd.read_parquet(path).equals(table)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            require_whole(path)
        except UserError as error:
            assert re.search(rf"^{path} .*; delete {path} and start again", str(error))
        else:
            # The key before the digest, and what announces it, can be lost without harm.
            assert pd.read_parquet(path).equals(table)
            assert content[position : position + 1] in ENTRY


def test_a_table_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    write_parquet(pd.DataFrame({"x": np.random.default_rng(0).standard_normal(1000)}), path)
    content = path.read_bytes()
    for length in (0, 5, 40, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=f"{path} is damaged .*; delete {path} and start again"):
            require_whole(path)


def test_a_table_from_elsewhere_is_read(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"x": [1, 2]}).to_parquet(path)
    require_whole(path)


def test_json_that_is_none_is_named(tmp_path):
    path = tmp_path / "accuracy.json"
    for content in (b"{", b"\xff\xfe{}", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path} is not valid JSON.*delete {path}"):
            require_whole(path)
    write_json({"test": 1}, path)
    require_whole(path)


@pytest.fixture()
def capture(tmp_path):
    """A capture of 6 examples in 3 blocks."""
    plans = plan_arrays(n_examples=6, n_layers=2, d_model=4, n_numbers=5, block=2, dtype="float32")
    names = ("module", "layer", "state", "norm", "number")
    sizes = {dim: size for plan in plans.values() for dim, size in zip(plan.dims, plan.shape, strict=True)}
    coordinates = {name: (name, np.arange(sizes[name])) for name in names}
    group = create_store(tmp_path / "0.zarr", plans, coordinates, {})
    for start in (0, 2, 4):
        blocks = {
            name: np.ones(
                [2 if dim == "example" else size for dim, size in zip(plan.dims, plan.shape, strict=True)]
            )
            for name, plan in plans.items()
        }
        write_block(group, plans, start, **blocks)
    return tmp_path / "0.zarr"


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("array", ["module_output", "residual", "final_logits", "lens_prediction"])
def test_a_lost_or_cut_chunk_of_a_capture_is_refused(capture, array, manifest):
    if manifest:
        write_manifest(capture.with_suffix(".json"), capture, provenance={})
    assert (open_capture(capture)[array] == 1).all()
    chunk = sorted(path for path in (capture / array / "c").rglob("*") if path.is_file())[1]
    faults.halve(chunk)
    with pytest.raises(UserError, match=str(capture)):
        open_capture(capture)[array].load()
    chunk.unlink()
    with pytest.raises(UserError, match=f"{capture}.*missing"):
        open_capture(capture)


def test_a_chunk_of_the_right_size_is_refused_by_jobs(capture):
    manifest = capture.with_suffix(".json")
    write_manifest(manifest, capture, provenance={})
    require_whole(manifest)
    chunk = next(path for path in (capture / "module_output/c").rglob("*") if path.is_file())
    faults.flip(chunk)
    with pytest.raises(UserError, match=f"{chunk} has changed.*delete {manifest} and start again"):
        require_whole(manifest)


# A job's last words, without a workflow

JOB = """
import errno, resource, sys
from types import SimpleNamespace
from fourier_addition.errors import UserError
from fourier_addition.pipeline.job import job
from fourier_addition.files.whole import replacing
class Wildcards(dict):
    def __iter__(self): return iter(self.values())
fake = SimpleNamespace(rule="capture", wildcards=Wildcards(run="r"), threads=1, log=["job.log"],
                       input=[], output=["made.zarr", "made.json"])
with job(fake):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise UserError('Key x is wrong.')", "Key x is wrong."),
        (
            "with replacing('made.zarr') as t, open('/dev/full', 'wb', 0) as f: f.write(b'x')",
            "made.zarr cannot be used, as the disk is full: make room and start again; "
            "nothing half-written was kept.",
        ),
        (
            "with open('/dev/full', 'wb', 0) as f: f.write(b'x')",
            "made.zarr cannot be used, as the disk is full: make room and start again; "
            "nothing half-written was kept.",
        ),
        (
            # Libraries written in other languages raise this when a write fails.
            "resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, 2**18))\n"
            "    with replacing('made.json'): raise RuntimeError('file write failed')",
            "made.json cannot be used, as the file would be larger than this system allows: "
            "raise the limit on file sizes and start again; nothing half-written was kept.",
        ),
        (
            "bytes(2**62)",
            "There is not enough memory for this job: give it more, or choose smaller batches and blocks.",
        ),
        ("open('not/there')", "No such file or directory (not/there); nothing half-written was kept."),
    ],
)
def test_a_job_ends_with_one_sentence(tmp_path, body, sentence):
    ran = subprocess.run(
        [sys.executable, "-c", JOB.format(body=body)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (1, f"capture: {sentence}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log"]
    assert "Traceback" in (tmp_path / "job.log").read_text()


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", JOB.format(body="with replacing('made.json'): raise RuntimeError('ours')")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1 and "Traceback" in ran.stderr and "RuntimeError: ours" in ran.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log"]
