"""The benchmark of a whole study, end to end on a small one."""

import re
import sys

import pytest
from study import ROOT, benchmark

sys.path.insert(0, str(ROOT / "bench"))

from bench_default import BAR, seconds_by_rule, table


def test_logs_are_read_by_rule(tmp_path):
    (tmp_path / "runs").mkdir()
    for name, rule, seconds in (("a", "train", 7.25), ("b", "train", 6.0), ("runs/c", "table", 0.4)):
        text = f"10:00:00 INFO rule {rule}, wildcards {{}}\n10:00:09 INFO done in {seconds} s\n"
        (tmp_path / f"{name}.log").write_text(text)
    # A job that was killed has no end.
    (tmp_path / "d.log").write_text("10:00:00 INFO rule train, wildcards {}\n")
    rules = seconds_by_rule(tmp_path)
    assert rules["table"] == [0.4] and sorted(rules["train"]) == [6.0, 7.25]
    assert table(rules).splitlines()[2:] == [
        "| `train` | 2 | 13 |",
        "| all others | 1 | 0 |",
        "| all | 3 | 14 |",
    ]


@pytest.mark.system
def test_a_study_is_made_and_its_rules_are_listed(tmp_path):
    printed = benchmark("bench_default.py", "--configfile", ROOT / "tests/configs/micro.yaml", cwd=tmp_path)
    lines = printed.splitlines()
    jobs, seconds = re.search(r"^\| all \| (\d+) \| (\d+) \|$", printed, re.M).groups()
    assert int(jobs) > 10 and int(seconds) > 0
    assert re.fullmatch(r"\d+ min \d\d s, \d+ core seconds\.", lines[-2])
    verdict = re.fullmatch(r"(MET|NOT MET): (\d+) of 300 seconds\.", lines[-1])
    assert verdict and (verdict[1] == "MET") == (int(verdict[2]) <= BAR)
