"""The capture benchmark runs end to end at a small size and prints its verdict."""

import json
import sys

import numpy as np
import pytest
from study import ROOT, benchmark

sys.path.insert(0, str(ROOT / "bench"))


@pytest.mark.system
def test_the_benchmark_runs_end_to_end_and_says_of_every_bar_whether_it_is_met(tmp_path):
    output = tmp_path / "capture.json"
    given = ["--prompts", 24, "--batch-size", 8, "--block", 8, "--layers", 2, "--width", 64, "--repeats", 2]
    given += ["--threads", 1, "--device", "cpu", "--peers-python", tmp_path / "none", "--output", output]
    printed = benchmark("bench_capture.py", *given, cwd=tmp_path)
    assert "peers are left out" in printed
    found = json.loads(output.read_text())
    assert set(found["tasks"]) == {"plain", "shots"}
    for task in found["tasks"].values():
        assert set(task) == {"ours", "bare"}
        assert len(task["ours"]["wall"]) == len(task["bare"]["wall"]) == 2
        # 2 modules of 2 layers and 3 states of 64 features, and 521 logits, of 4 bytes
        assert task["ours"]["bytes"] > 24 * 4 * (7 * 64 + 521)
        assert task["bare"]["bytes"] == 0
    lines = printed.splitlines()[-3:]
    assert lines == found["verdict"] and len(lines) == 3
    assert all(line.startswith(("MET ", "NOT MET ")) for line in lines)
    assert "the bar is 0.97" in lines[0] and "the bar is 1.2" in lines[1] and "memory" in lines[2]


def test_a_verdict_follows_the_median_and_names_what_did_not_run():
    from bench_capture import verdict

    def of(ours, bare):
        return {"ours": {"wall": ours, "cpu": ours}, "bare": {"wall": bare, "cpu": bare}}

    fast, slow = of([1.0, 1.0, 9.0], [1.0, 1.0, 1.0]), of([1.0, 1.0, 1.0], [0.9, 0.9, 2.0])
    assert verdict({"plain": fast, "shots": fast}, (100, 104)) == [
        "MET plain: 1.00 of the bare forward pass; the bar is 0.97",
        "NOT MET shots: 1.00 of the bare forward pass; the bar is 1.2",
        "MET memory: 1.04 times with four times the prompts; the bar is 1.05",
    ]
    assert verdict({"plain": slow}, None)[0].startswith("NOT MET plain: 0.90")
    assert verdict({"plain": {"ours": {"failed": "no room"}}}, None) == ["NOT MEASURED plain: no room"]


def test_arrays_of_peers_are_put_together_along_examples(tmp_path):
    from capture_contestant import ARRAYS, written_arrays

    assert written_arrays(tmp_path) == {}
    for number, rows in enumerate((3, 2)):
        for name in ARRAYS:
            np.save(tmp_path / f"{name}-{number:06d}.npy", np.full((2, rows, 4), number))
    found = written_arrays(tmp_path)
    assert found["residual"].shape == (2, 5, 4)
    assert found["residual"][0, :, 0].tolist() == [0, 0, 0, 1, 1]
