"""Curves of time and memory at a small size, the plan of 5,000 jobs, and the floor of the ablation."""

import argparse
import json
import sys

import pytest
from fourier_addition.pipeline.config import validated
from study import ROOT, benchmark

sys.path.insert(0, str(ROOT / "bench"))


@pytest.mark.system
def test_curves_are_measured_beside_what_sizing_expects_and_put_into_a_page(tmp_path):
    from bench_growth import BEGIN, END

    page, output = tmp_path / "page.md", tmp_path / "growth.json"
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    given = ["--steps", 2, "--repeats", 1, "--names", "examples", "--output", output, "--page", page]
    printed = benchmark("bench_growth.py", *given, cwd=tmp_path)
    found = json.loads(output.read_text())["curves"]
    assert [curve["stage"] for curve in found] == ["capture", "ablation", "training"]
    for curve in found:
        few, many = curve["points"]
        assert few["predicted_seconds"] < many["predicted_seconds"]
        assert 300 < few["host_mb"] < 3000 and few["seconds"][0] > 0
    assert page.read_text().startswith(f"before\n\n{BEGIN}\n\n| Stage |")
    assert page.read_text().endswith(f"\n\n{END}\n\nafter\n") and "old" not in page.read_text()
    assert printed.strip() in page.read_text()
    again = benchmark("bench_growth.py", "--from-file", output, cwd=tmp_path)
    assert again == printed


def test_every_point_of_every_curve_is_a_valid_study_with_enough_examples():
    from bench_growth import CURVES
    from growth_point import RUN, predicted, prompts_of

    for curve in CURVES:
        points = curve.points(len(curve.values))
        assert len({json.dumps(point, sort_keys=True) for point in points}) == len(curve.values)
        for point in points:
            config = validated(point["config"])
            assert len(prompts_of(config, point["examples"])) == point["examples"]
            assert predicted(curve.stage, config, point["examples"]).minutes > 0
            if curve.stage == "training":
                assert config["runs"][RUN]["batch_size"] <= point["examples"]


def test_a_row_says_how_many_times_more_and_what_is_asked_for():
    from bench_growth import row, within

    def point(seconds, host):
        asked = {"mem_mb": 700, "runtime": 10}
        expected = {"predicted_seconds": 2 * seconds, "predicted_host_mb": 500.0}
        return {"seconds": [seconds, 9 * seconds, seconds], "host_mb": host, "asked": asked, **expected}

    points = [point(1.0, 600.0), point(4.0, 650.0)]
    curve = {"stage": "capture", "name": "examples", "values": [80, 160], "points": points}
    shown = ["1.0, 4.0", "2.0, 8.0", "4.0", "4.0", "600, 650", "500, 500", "yes"]
    assert row(curve) == ["capture", "examples: 80, 160", *shown]
    assert within([point(1.0, 701.0)]) == "no: memory"
    assert within([point(601.0, 701.0)]) == "no: memory and time"


def test_the_large_study_is_valid_and_as_large_as_asked_for():
    from bench_planning import JOBS_OF_A_SEED, large_study

    config = validated(large_study(450))
    assert sum(len(run["seeds"]) for run in config["runs"].values()) * JOBS_OF_A_SEED == 450
    assert len(config["figures"]) + len(config["tables"]) == 3 * 50 + 1


@pytest.mark.workflow
def test_planning_counts_the_jobs_and_says_whether_the_bar_is_met(tmp_path):
    output = tmp_path / "planning.json"
    printed = benchmark("bench_planning.py", "--jobs", 90, "--repeats", 1, "--output", output, cwd=tmp_path)
    found = json.loads(output.read_text())
    assert 90 < found["jobs"] < 110 and len(found["seconds"]) == 1
    assert printed.splitlines()[-1] == found["verdict"] and "the bar is 20 s" in found["verdict"]


def test_the_engine_is_given_as_a_share_of_the_floor():
    from bench_ablation import report

    def of(speeds):
        return {"wall": speeds, "cpu": speeds, "peak": 2**20}

    results = {"engine": of([80.0, 90.0, 60.0]), "floor": of([100.0, 100.0, 100.0])}
    text = report("table1", 7, results, argparse.Namespace(prompts=3))
    assert "The engine has 0.80 of it (0.60 to 0.90), in CPU time 0.80; the aim with table 1 is 0.8." in text
    assert "| floor |" not in text
