"""The ablation benchmark runs end to end at a small size and prints its verdict."""

import json
import sys

import pytest
from study import ROOT, benchmark

sys.path.insert(0, str(ROOT / "bench"))


@pytest.mark.system
def test_it_runs_at_a_small_size_and_every_bar_has_a_verdict(tmp_path):
    output = tmp_path / "ablation.json"
    given = ["--tokens", 12, "--prompts", 2, "--tasks", "table1", "exchange", "--draws", 1, "--places", 1]
    given += ["--layers", 2, "--width", 448, "--threads", 1, "--repeats", 1, "--stride", 9]
    given += ["--peers-python", tmp_path / "none", "--output", output]
    printed = benchmark("bench_ablation.py", *given, cwd=tmp_path)
    assert "peers are left out" in printed
    found = json.loads(output.read_text())
    assert list(found["tasks"]) == [f"{name}-12-tokens" for name in ("table1", "exchange")]
    for task in found["tasks"].values():
        assert set(task["contestants"]) == {"engine", "floor", "plain"}
        engine = task["contestants"]["engine"]
        assert engine["same_predictions"] == 1 and engine["loss_difference"] < 1e-4
    lines = printed.splitlines()[-3:]
    assert lines == found["verdict"]
    assert all(line.startswith(("MET ", "NOT MET ")) for line in lines)


def test_the_slowest_gain_decides_and_what_did_not_run_is_named():
    from bench_ablation import verdict

    def of(*speeds):
        return {"wall": list(speeds)}

    results = {
        "engine": of(80, 90, 60),
        "floor": of(100, 100, 100),
        "plain": of(5, 6, 4),
        "nnsight": of(9, 9, 9),
    }
    assert verdict({"table1-12-tokens": results}) == [
        "NOT MET table1-12-tokens: 8.9 times nnsight; the bar is 10",
        "MET table1-12-tokens: 0.80 of the unavoidable work's speed; the bar is 0.8",
    ]
    assert verdict({"turn-12-tokens": {"engine": of(80), "floor": of(100), "plain": of(8)}}) == [
        "MET turn-12-tokens: 10.0 times plain; the bar is 10"
    ]
    assert verdict({"turn": {"engine": {"failed": "no room"}}}) == ["NOT MEASURED turn: no room"]
