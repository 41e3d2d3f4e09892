"""config/paper.yaml holds the paper: figures, table, training settings; config/modern.yaml says its gates."""

import numpy as np
import pytest
import yaml
from fourier_addition.fourier import fourier_basis
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.figures import PAPER, views
from fourier_addition.pipeline.names import instances, prompted, task_of, tau_of
from fourier_addition.tasks import pairs
from study import ROOT


def shipped(name):
    return validated(yaml.safe_load((ROOT / "config" / name).read_text()))


@pytest.fixture(scope="module")
def paper():
    return shipped("paper.yaml")


def test_every_figure_and_the_table_are_there(paper):
    assert set(PAPER) <= set(paper["figures"])
    assert paper["tables"]["table-1"]["run"] == "gpt2-xl.finetuned"
    found = views(paper)
    assert found["figure-2"].options["layer"] == found["figure-20"].options["layer"] == [33, 40]
    assert found["figure-3"].options["layers"] == 16
    assert found["answers-phi-2"].options["numbers"] == 521
    for name, model in (("figure-9", "phi-2"), ("figure-19", "gpt-j-6b")):
        run = paper["runs"][paper["figures"][name]["run"]]
        assert prompted(run) and run["shots"] == 4 and run["model"] == model


@pytest.mark.parametrize(
    ("run", "start", "epochs", "rate", "seeds"),
    [
        ("gpt2-xl.finetuned", "pretrained", 50, 1e-5, 1),
        ("gpt2-xl.scratch", "scratch", 500, 1e-4, 1),
        ("gpt2.scratch", "scratch", 700, 5e-5, 5),
        ("gpt2.frozen-pretrained", "scratch", 700, 5e-5, 5),
        ("gpt2-xl.multiplication", "pretrained", 25, 1e-4, 1),
    ],
)
def test_training_is_the_papers(paper, run, start, epochs, rate, seeds):
    entry = paper["runs"][run]
    assert (entry["start"], entry["epochs"], entry["learning_rate"]) == (start, epochs, rate)
    assert entry["batch_size"] == 16 and entry["weight_decay"] == 0 and entry["clip"] == 1
    assert len(entry["seeds"]) == len([name for name, _ in instances(paper).values() if name == run]) == seeds
    frozen = run == "gpt2.frozen-pretrained"
    assert entry["frozen_embedding"] is frozen and (entry.get("embedding") == "pretrained") is frozen


def test_the_task_is_the_papers(paper):
    task = task_of(paper, "addition-260")
    assert (len(pairs(task)), task.numbers, tau_of(paper, task.numbers)) == (34191, 521, 50)
    polish = task_of(paper, "polish-260")
    assert (len(pairs(polish)), polish.numbers) == (34191, 521)


def test_every_product_is_one_token_and_every_outlier_a_component(paper):
    task = task_of(paper, "multiplication-520")
    found = pairs(task)
    assert task.numbers == paper["models"]["gpt2-xl"]["numbers"] and len(found) == 1682
    assert str(len(found)) in (ROOT / "config/paper.yaml").read_text().replace(",", "")
    periods = fourier_basis(task.numbers, "paper").periods
    assert all(np.isclose(periods, period).any() for period in (2, 2.5, 10 / 3, 5, 10))


@pytest.mark.parametrize("name", ["paper.yaml", "gpt2.yaml", "modern.yaml"])
def test_hub_models_state_their_sizes(name):
    for model, entry in shipped(name)["models"].items():
        # 12 L d^2 weights are in the blocks; the rest are embeddings
        blocks = 12 * entry["layers"] * entry["width"] ** 2
        assert 0.6 * blocks < entry["parameters"] < 3 * blocks, model


def test_gated_models_name_the_token(paper):
    lines = (ROOT / "config/modern.yaml").read_text().splitlines()
    gated = [i for i, line in enumerate(lines) if "hub: meta-llama/" in line or "hub: google/" in line]
    assert len(gated) == 4
    assert all(lines[i - 2].strip() == "# HF_TOKEN" for i in gated)
