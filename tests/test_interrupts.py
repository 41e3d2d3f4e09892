"""A forced rerun that is cut short, and an interrupt that reaches Snakemake alone."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings
from study import ROOT, SNAKEMAKE, copy_of_the_tree, planned

CUT = """
import os, shutil, sys
from pathlib import Path

whole, when = shutil.rmtree, sys.argv[1]


def cut(folder, *rest, **named):
    if str(folder).endswith(".store"):
        if when == "half":
            max(file for file in Path(folder).rglob("*") if file.is_file()).unlink()
        elif when == "emptied":
            for file in Path(folder).rglob("*"):
                file.is_file() and file.unlink()
        elif when == "gone":
            whole(folder)
        os._exit(9)
    whole(folder, *rest, **named)


shutil.rmtree = cut
from snakemake.cli import main

main(sys.argv[2:])
"""
"""Snakemake, killed while it removes the old outputs of a job that is forced."""
SMALL = """
rule all:
    input: "made.json"
rule make:
    output: OUTPUTS
    shell: "mkdir -p made.store; echo a > made.store/a; echo b > made.store/b; echo done > made.json"
"""
MANIFEST_FIRST = 'manifest="made.json", store=directory("made.store")'


@pytest.mark.workflow
@pytest.mark.parametrize("when", ["before", "half", "emptied", "gone"])
def test_a_forced_rerun_that_is_cut_short_is_made_anew(tmp_path, when):
    # Snakemake marks a job as begun after it has removed the old outputs, in the order of the rule.
    (tmp_path / "Snakefile").write_text(SMALL.replace("OUTPUTS", MANIFEST_FIRST))
    arguments = ["--cores", "1", "--nolock", "--quiet", "all"]
    whole = subprocess.run([*SNAKEMAKE, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    cut = subprocess.run(
        [sys.executable, "-c", CUT, when, *arguments, "--forcerun", "make"], cwd=tmp_path, capture_output=True
    )
    assert cut.returncode == 9
    assert "make" in planned(tmp_path, "--nolock")


def test_every_rule_removes_the_list_of_a_folder_before_the_folder():
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        read = api.workflow(
            ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[ROOT / "tests/configs/micro.yaml"]),
            snakefile=ROOT / "Snakefile",
        )
        rules = list(read._workflow.rules)
    with_folders = 0
    for rule in rules:
        folders = [place for place, path in enumerate(rule.output) if getattr(path, "is_directory", False)]
        with_folders += bool(folders)
        for place in folders:
            stem = str(rule.output[place]).removesuffix(".zarr")
            lists = [where for where, path in enumerate(rule.output) if str(path) == f"{stem}.json"]
            assert lists and lists[0] < place, (rule.name, rule.output[place])
    assert with_folders >= 7


@pytest.mark.workflow
@pytest.mark.system
def test_an_interrupt_of_snakemake_alone_ends_its_jobs(tmp_path):
    study = copy_of_the_tree(tmp_path, "micro")
    path = study / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    # A training that would not end while this test waits.
    config["runs"]["mini.scratch"]["epochs"] = 1_000_000
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    run = study / "results/runs/mini.scratch.seed0"
    with subprocess.Popen(
        [*SNAKEMAKE, str(run.relative_to(study) / "checkpoint.json"), "--cores", "2"],
        cwd=study,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        log = study / "logs/runs/mini.scratch.seed0/train.log"
        while running.poll() is None and not (log.is_file() and "epoch" in log.read_text()):
            time.sleep(0.2)
        assert running.poll() is None, running.stderr.read()[-3000:]
        jobs = psutil.Process(running.pid).children(recursive=True)
        assert any("train" in " ".join(job.cmdline()) for job in jobs)
        os.kill(running.pid, signal.SIGINT)
        # Without the handler, Snakemake would wait for the end of the training.
        try:
            running.wait(timeout=300)
        finally:
            running.kill()
    assert not [job for job in jobs if job.is_running() and job.status() != psutil.STATUS_ZOMBIE]
    assert not (run / "checkpoint.json").exists()
    assert "train" in planned(study, str(run.relative_to(study) / "checkpoint.json"))
