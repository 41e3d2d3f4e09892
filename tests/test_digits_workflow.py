"""A prompted run whose answers are several tokens, from a folder of weights to figures and a table."""

import json

import pandas as pd
import pytest
import torch
import yaml
from fourier_addition.models import wrap
from study import copy_of_the_tree, snakemake
from test_digit_tokenizers import digit_tokenizer
from tiny import tiny_config
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.workflow

FAMILIES = ("llama", "qwen3", "gemma2")


def config_of(folder):
    """Prompted runs of small digit-level models, one for each family."""
    figures = {}
    for family in FAMILIES:
        for kind in ("digit-lens", "number-spectrum", "number-errors", "prompted-errors"):
            figures[f"{kind}-{family}"] = {"kind": kind, "run": f"{family}.2shot"}
    return {
        "models": {
            family: {"sources": [{"path": str(folder / family)}], "numbers": 10, "parameters": 100_000}
            for family in FAMILIES
        },
        "tasks": {
            "sums": {
                "operation": "addition",
                "operands": [0, 12],
                "templates": ["{a}+{b}"],
                "running_example": [9, 8],
            }
        },
        "runs": {f"{family}.2shot": {"model": family, "task": "sums", "shots": 2} for family in FAMILIES},
        "digits": {"examples": 8},
        "figures": figures,
        "tables": {"digits": {"kind": "digits", "runs": [f"{family}.2shot" for family in FAMILIES]}},
        "analysis": {"null_draws": 20},
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = copy_of_the_tree(tmp_path_factory.mktemp("digits"))
    for seed, family in enumerate(FAMILIES):
        tokenizer = digit_tokenizer()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = tiny_config(family, len(tokenizer), 2, 48, max_position_embeddings=128)
            wrap(AutoModelForCausalLM.from_config(config), tokenizer).save(folder / family)
    (folder / "config/digits.yaml").write_text(yaml.safe_dump(config_of(folder)))
    snakemake(folder, "--cores", "2", "--configfile", "config/digits.yaml")
    return folder


def test_every_figure_and_the_table_are_there(study):
    for name in config_of(study)["figures"]:
        assert (study / f"results/figures/{name}.png").stat().st_size > 5_000
    table = pd.read_csv(study / "results/tables/digits.csv")
    assert set(table["run"]) == {f"{family}.2shot" for family in FAMILIES}
    assert table["mass"].between(0, 1.001).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_agree_with_teacher_forcing(study, family):
    run = study / f"results/runs/{family}.2shot.seed0"
    written = pd.read_parquet(run / "answers.parquet").set_index("example")
    whole = pd.read_parquet(run / "digits.parquet").groupby("example")["right"].all()
    assert len(whole) == 8
    for example, right in whole.items():
        assert right == (written.loc[example, "error"] == 0)
    summary = json.loads((run / "digits.json").read_text())
    assert summary["answer_end"] == "no-digit" and summary["summary"]["whole"]["of"] == 8
    lens = pd.read_parquet(run / "digit-lens.parquet")
    assert set(lens["layer"]) == {0, 1, 2}
