"""A new kind of figure is one record in pipeline/figures.py and one drawing function, and nothing else."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from study import finished, replace, snakemake

pytestmark = pytest.mark.workflow

RECORD = """    Kind(
        name="waves-shortest",
        family="waves",
        description="the component of the shortest period as a wave",
        shows=_ONE_RUN,
        inputs={"waves": _WAVES},
    ),
    # Several runs.
"""
FUNCTION = '''

def waves_shortest(results: Results, options: Options) -> Drawn:
    """The component of the shortest period."""
    table = only(results, "waves")
    return plot_longest_wave(table[table["period"] == table["period"].min()], note=options["note"])


DRAWINGS["waves-shortest"] = waves_shortest
'''
PRINT_VIEW = """
import sys, yaml
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.config_page import document
from fourier_addition.pipeline.figures import views
view = views(validated(yaml.safe_load(open("config/config.yaml"))))["mine"]
print(view.family, *view.inputs["waves"], "| `waves-shortest` |" in document())
"""


@pytest.fixture()
def extended(tmp_path_factory, tmp_path):
    """A finished study with the new kind and a figure of it."""
    folder = tmp_path / "study"
    shutil.copytree(finished(tmp_path_factory.getbasetemp()), folder)
    package = folder / "workflow/scripts/fourier_addition"
    replace(package / "pipeline/figures.py", "    # Several runs.\n", RECORD)
    drawings = package / "plots/kinds/waves.py"
    drawings.write_text(drawings.read_text() + FUNCTION)
    path = folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["figures"]["mine"] = {"kind": "waves-shortest", "run": "mini.finetuned"}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def test_a_new_kind_of_figure_takes_a_record_and_a_function(extended):
    scripts = extended / "workflow/scripts"
    said = subprocess.run(
        [sys.executable, "-c", PRINT_VIEW],
        cwd=extended,
        env={"PYTHONPATH": str(scripts)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == ["waves", "results/runs/mini.finetuned.seed0/waves.parquet", "True"]

    target = "results/figures/mine.csv"
    planned = snakemake(extended, "-n", "--cores", "1", target)
    assert "rule figure_waves:" in planned and "figure=mine" in planned
    assert "rule capture:" not in planned and "rule train:" not in planned
    snakemake(extended, "--cores", "1", target)
    drawn = pd.read_csv(extended / target)
    assert drawn["period"].nunique() == 1
    assert drawn["period"].iloc[0] < pd.read_csv(extended / "results/figures/figure-4.csv")["period"].max()


def test_an_unknown_kind_is_refused_with_the_kinds_that_there_are(extended):
    path = extended / "config/config.yaml"
    replace(path, "kind: waves-shortest", "kind: waves-shorter")
    refusal = snakemake(extended, "-n", expect=1)
    assert "`figures.mine.kind` must be one of" in refusal and "waves-shortest" in refusal
