"""Another workflow uses this one as a module, with and without a prefix, and gets one figure of its model."""

import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from fourier_addition import __version__
from study import ROOT, copy_of_the_tree, planned, snakemake
from tiny import tiny_model

pytestmark = pytest.mark.workflow

CONFIG = {
    "models": {"mine": {"sources": [{"path": "my-model"}], "parameters": 100_000, "layers": 2, "width": 48}},
    "tasks": {},
    "runs": {},
    "embeddings": {"mine": {"numbers": 21, "label": "my own model"}},
    "figures": {"spectrum": {"kind": "embedding", "embeddings": ["mine"]}},
    "analysis": {"null_draws": 20, "perplexity": 5, "clusters": 4},
}
SNAKEFILE = """
configfile: "settings.yaml"


rule all:
    input:
        "results/figures/spectrum.csv",
        "study/results/figures/spectrum.csv",
        "results/count.txt",


module fourier:
    snakefile: "{workflow}/workflow/Snakefile"
    config: config["fourier"]


use rule * from fourier as fourier_*


module again:
    snakefile: "{workflow}/workflow/Snakefile"
    config: config["fourier"]
    prefix: "study"


use rule * from again as again_*


rule count:
    input: "results/figures/spectrum.csv"
    output: "results/count.txt"
    shell: "wc -l < {{input}} > {{output}}"
"""


@pytest.fixture(scope="module")
def outer(tmp_path_factory):
    """A finished run of the outer workflow; the used one lies in a folder beside it."""
    used = tmp_path_factory.mktemp("used")
    copy_of_the_tree(used)
    folder = tmp_path_factory.mktemp("outer")
    tiny_model("gpt2", largest=20, layers=2, width=48).save(folder / "my-model")
    (folder / "settings.yaml").write_text(yaml.safe_dump({"threshold": 1, "fourier": CONFIG}))
    (folder / "Snakefile").write_text(SNAKEFILE.format(workflow=used))
    profile = ("--workflow-profile", str(used / "profiles/default"))
    output = snakemake(folder, "--cores", "2", *profile)
    return folder, used, profile, output


@pytest.mark.system
def test_the_figure_lies_in_the_outer_workflows_folder(outer):
    folder, used, _, output = outer
    for suffix in ("csv", "png", "pdf"):
        assert (folder / f"results/figures/spectrum.{suffix}").stat().st_size > 0
    drawn = pd.read_csv(folder / "results/figures/spectrum.csv")
    assert len(drawn) >= 10
    assert (folder / "results/count.txt").read_text().strip() == str(len(drawn) + 1)
    assert not (used / "results").exists()
    assert "rule fourier_figure_embedding:" in output


@pytest.mark.system
def test_a_prefix_moves_results_and_logs_and_changes_no_number(outer):
    folder = outer[0]
    plain, moved = folder / "results/figures/spectrum.csv", folder / "study/results/figures/spectrum.csv"
    assert plain.read_bytes() == moved.read_bytes()
    assert (folder / "study/logs/figures/spectrum.log").is_file()
    assert (folder / "study/results/embeddings/mine/number-rows.json").is_file()


@pytest.mark.system
def test_nothing_reruns_but_what_an_edit_reaches(outer):
    folder, used, profile, _ = outer
    assert planned(folder, *profile) == set()
    plot = used / "workflow/scripts/fourier_addition/plots/embedding.py"
    before = plot.read_text()
    try:
        plot.write_text("# A comment.\n" + before)
        assert planned(folder, *profile) == set()
        plot.write_text(before + "\n\nNEW = 1\n")
        assert planned(folder, *profile) == {"fourier_figure_embedding", "again_figure_embedding", "count"}
    finally:
        plot.write_text(before)


@pytest.mark.system
def test_the_report_has_the_modules_captions(outer):
    pytest.importorskip("pygments")
    folder, _, profile, _ = outer
    snakemake(folder, *profile, "--report", "report.html")
    assert "my own model" in (folder / "report.html").read_text()


@pytest.mark.system
def test_a_bad_configuration_of_the_module_is_one_sentence(outer, tmp_path):
    folder = outer[0]
    (tmp_path / "Snakefile").write_text((folder / "Snakefile").read_text())
    wrong = {**CONFIG, "embeddings": {"mine": {"numbers": 3}}}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"fourier": wrong}))
    output = snakemake(tmp_path, "-n", expect=1)
    assert (
        "`embeddings.mine.numbers` must be at least" in output
        and "not 3" in output
        and "Traceback" not in output
    )


def test_the_default_place_runs_too(tmp_path):
    folder = copy_of_the_tree(tmp_path, "micro")
    root = planned(folder)
    assert root and planned(folder, "--snakefile", "workflow/Snakefile") == root | {"everything"}


def test_version_and_catalog_agree_with_the_package():
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M).group(1)
    assert heading == __version__
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert catalog["usage"]["software-stack-deployment"]["conda"] is True
    for flag in catalog["usage"]["mandatory-flags"]["flags"].split():
        helped = subprocess.run(
            [sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True
        ).stdout
        assert flag.split("=")[0] in helped
