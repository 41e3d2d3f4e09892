"""A new model family is one record: a copy of the tree with one more entry in families.py runs it."""

import filecmp
import os
import subprocess
import sys

from study import ROOT, copy_of_the_tree, replace

ENTRY = '    _llama_like("starcoder2"),\n'
CHECKS = """
import sys
import numpy as np
import torch
from pathlib import Path
from fourier_addition.ablation.conditions import control_conditions, table1_conditions
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.run import run_conditions
from fourier_addition.capture.dataset import open_capture
from fourier_addition.capture.record import capture
from fourier_addition.fourier import fourier_basis
from fourier_addition.models import FAMILIES, greedy_texts
import pandas as pd
from tiny import number_ids, tiny_model

view = tiny_model("starcoder2", Path(sys.argv[1]) / "model", layers=3, largest=20)
assert view.family == "starcoder2" in FAMILIES and view.causal
ids = number_ids(view.tokenizer, 20)
pairs = [(a, b) for a in (1, 5, 9) for b in (0, 2, 8)]
prompts = [f"Put together {a} and {b}. Answer:" for a, b in pairs]
encoded = view.encode(prompts)
answers = np.array([a + b for a, b in pairs])

# The captured parts sum to the residual stream, and the logits are Hugging Face's own.
table = pd.DataFrame({"answer": answers})
path = Path(sys.argv[1]) / "c.zarr"
capture(view, prompts, table, ids, path, batch_size=4, block=4, shared_prefix=1)
data = open_capture(path).load()
parts = data.residual.sel(state=0) + data.module_output.sum(["module", "layer"])
np.testing.assert_allclose(parts, data.residual.sel(state=3), rtol=1e-4, atol=1e-5)
assert float(data.module_output.std()) > 0.05
for row, (tokens, position) in enumerate(encoded):
    with torch.no_grad():
        own = view.model(torch.tensor([tokens])).logits[0, position]
    np.testing.assert_allclose(data.final_logits[row], own[ids], rtol=1e-4, atol=1e-5)
assert len(greedy_texts(view, prompts, tokens=2, batch_size=4)) == len(prompts)

# The engine gives what the plain pass gives, and filters matter.
bank = FilterBank(view.unembedding(ids).numpy(), fourier_basis(21))
rows = table1_conditions(bank, view.n_layers, 4)
rows += control_conditions(rows, bank, 1, seed=0)
plain, engine = (
    run_conditions(view, encoded, ids, rows, answers=answers, batch_size=4, method=method)
    for method in ("plain", "engine")
)
np.testing.assert_allclose(engine.loss, plain.loss, rtol=1e-5, atol=1e-5)
assert np.array_equal(engine.prediction, plain.prediction)
assert (plain.loss.std("condition") > 0.05).all()
print("all is well with", view.family)
"""


def run(tree, folder):
    """The checks in a process that imports the package of `tree`."""
    paths = os.pathsep.join([str(tree / "workflow/scripts"), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-c", CHECKS, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def differing(one, other):
    """Files of the package that differ between two trees."""
    first, second = (tree / "workflow/scripts" for tree in (one, other))
    names = [path.relative_to(first) for path in first.rglob("*.py")]
    assert len(names) == len(list(p for p in second.rglob("*.py")))
    return [str(name) for name in names if not filecmp.cmp(first / name, second / name, shallow=False)]


def test_one_entry_adds_a_family(tmp_path):
    (tmp_path / "tree").mkdir()
    tree = copy_of_the_tree(tmp_path / "tree")
    refused = run(tree, tmp_path)
    assert refused.returncode and "model_type 'starcoder2' is not supported" in refused.stderr
    table = '    _llama_like("llama"),\n'
    replace(tree / "workflow/scripts/fourier_addition/models/families.py", table, table + ENTRY)
    done = run(tree, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all is well with starcoder2" in done.stdout
    assert differing(tree, ROOT) == ["fourier_addition/models/families.py"]
