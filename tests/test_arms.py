"""Arms: the token embeddings that a run from scratch is given, and that a new one is one record."""

import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from fourier_addition.errors import UserError
from fourier_addition.training.arms import ARMS, fourier_number_embedding
from fourier_addition.training.start import donor_embedding
from study import copy_of_the_tree, replace
from tiny import tiny_model

ROOT = Path(__file__).resolve().parents[1]


def ran(code, scripts, *arguments):
    """Output of Python code that imports the package from a folder of scripts."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=scripts, env={"PYTHONPATH": str(scripts)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_embeddings_that_are_given():
    generator = torch.Generator().manual_seed(0)
    pretrained, scratch = (torch.randn(30, 16, generator=generator) for _ in range(2))
    ids = np.arange(5, 26)
    random = donor_embedding("random", pretrained, ids, scratch, seed=1)
    assert torch.allclose(random.norm(dim=1), pretrained.norm(dim=1), rtol=1e-5)
    assert not torch.allclose(random, pretrained)
    shuffled = donor_embedding("shuffled", pretrained, ids, scratch, seed=1)
    assert torch.equal(shuffled[:5], pretrained[:5]) and torch.equal(shuffled[26:], pretrained[26:])
    assert not torch.equal(shuffled[5:26], pretrained[5:26])
    assert torch.equal(shuffled[5:26].sort(dim=0).values, pretrained[5:26].sort(dim=0).values)
    fourier = donor_embedding("fourier", pretrained, ids, scratch, seed=1)
    assert torch.equal(fourier[:5], scratch[:5])
    number = fourier[5:26].norm(dim=1).mean()
    assert number == pytest.approx(pretrained[5:26].norm(dim=1).mean().item(), rel=1e-5)
    with pytest.raises(UserError, match="'learned' is not known"):
        donor_embedding("learned", pretrained, ids, scratch, seed=1)


def test_the_fourier_number_embedding_has_its_periods():
    rows = fourier_number_embedding(30, 8, (10, 100))
    assert np.allclose(rows[3, :2], rows[13, :2], atol=1e-6)
    assert np.allclose(rows[7, :2], [math.cos(1.4 * math.pi), math.sin(1.4 * math.pi)], atol=1e-6)
    assert not rows[:, 4:].any()
    with pytest.raises(UserError, match="width of at least 6"):
        fourier_number_embedding(30, 4)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_changes_no_array_that_it_is_given(arm):
    generator = torch.Generator().manual_seed(0)
    pretrained, scratch = (torch.randn(30, 16, generator=generator) for _ in range(2))
    before = pretrained.clone(), scratch.clone()
    rows = donor_embedding(arm, pretrained, np.arange(5, 26), scratch, seed=1)
    assert rows.dtype == torch.float32 and rows.shape == pretrained.shape
    rows.fill_(0)
    assert torch.equal(pretrained, before[0]) and torch.equal(scratch, before[1])


def test_a_random_row_has_the_bits_of_pytorchs_norms():
    pretrained = torch.randn(200, 48, generator=torch.Generator().manual_seed(0))
    drawn = np.random.default_rng(7).standard_normal((200, 48)).astype(np.float32)
    rows = torch.from_numpy(drawn)
    expected = rows / rows.norm(dim=1, keepdim=True) * pretrained.norm(dim=1, keepdim=True)
    given = donor_embedding("random", pretrained, np.arange(20), torch.zeros(200, 48), seed=7)
    assert torch.equal(given, expected)


def test_the_records_of_arms_load_no_torch():
    code = """
        import sys
        import fourier_addition.training.arms, fourier_addition.pipeline.config
        print("torch" in sys.modules)
    """
    assert ran(code, ROOT / "workflow/scripts").strip() == "False"


def test_a_new_arm_is_one_record_in_one_file(tmp_path):
    arms = copy_of_the_tree(tmp_path) / "workflow/scripts/fourier_addition/training/arms.py"
    function = """
        def ramp_rows(given: Given) -> np.ndarray:
            rows = given.scratch.copy()
            rows[given.number_ids] = np.arange(len(given.number_ids))[:, None]
            return rows


        ARMS = {"""
    replace(arms, "ARMS = {", textwrap.dedent(function).lstrip())
    record = 'Arm("ramp", "the number in every feature", ramp_rows),'
    replace(arms, "    for arm in (\n", f"    for arm in (\n        {record}\n")

    code = """
        import sys, yaml
        from fourier_addition.pipeline.config import validated
        from fourier_addition.pipeline.config_page import document
        from fourier_addition.training.start import Start, start_model

        config = yaml.safe_load(open("../../config/config.yaml"))
        config["runs"]["mini.scratch"]["embedding"] = "ramp"
        print(validated(config)["runs"]["mini.scratch"]["embedding"])
        print("`ramp`, the number in every feature" in document())
        start = Start(sys.argv[1], start="scratch", form="bare", numbers=21, embedding="ramp")
        view, space = start_model(start, seed=0, device="cpu")
        print(view.embedding_parameter()[space.ids].unique(dim=1)[:, 0].tolist())
    """
    tiny_model("gpt2", largest=20).save(tmp_path / "model")
    found = ran(code, tmp_path / "workflow/scripts", tmp_path / "model").splitlines()
    assert found == ["ramp", "True", str([float(number) for number in range(21)])]
