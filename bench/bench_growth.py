"""How time and memory grow with examples, layers, width, numbers, shots and conditions, beside sizing.

A curve changes one value of a small study and keeps the others. Every point is a job in a process of its own
on one thread, as many at a time as `--jobs` says. The median of its repeats counts, in processor seconds,
which a busy machine changes least. The page gets one row a curve: the values, seconds and peak host memory
of its points, what `pipeline/sizing` expects, and how many times more the last point takes than the first. A
job asks its scheduler for a quarter more memory and twice the time: the last column says whether every point
stays within it.

    python bench/bench_growth.py --output bench/growth.json --page docs/sizing.md
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import numpy as np
from fourier_addition.files.whole import replacing, write_json

BEGIN = "<!-- What follows is printed by `make growth`. -->"
END = "<!-- Here ends what `make growth` prints. -->"
EXAMPLES = 160
"""Examples of a capture and an ablation, and lines of a training, where they are not what changes."""
Change = Callable[[dict[str, Any], int], None]


def base(stage: str) -> dict[str, Any]:
    """What every curve of a stage starts from: 4 layers x 256, numbers 0 to 100, one epoch of training."""
    run = {"model": "mini", "task": "addition", "seeds": [0]}
    run |= {"epochs": 1, "start": "scratch"} if stage == "training" else {"shots": 0}
    return {
        "examples": EXAMPLES,
        "config": {
            "models": {
                "mini": {
                    "sources": [{"pretrain": "numerals"}],
                    "architecture": {"layers": 4, "width": 256, "heads": 4, "positions": 128},
                }
            },
            "pretraining": {"numerals": {"numbers": 101}},
            "tasks": {"addition": {"operation": "addition", "operands": [0, 50], "running_example": [1, 2]}},
            "runs": {"run": run},
            "figures": {},
            "ablations": {"taus": [0.5], "periods": [2, 5], "layers": False, "draws": 4},
        },
    }


def pairs(point: dict[str, Any]) -> int:
    """Pairs of operands of a point's task."""
    low, high = point["config"]["tasks"]["addition"]["operands"]
    return (high - low + 1) * (high - low + 2) // 2


def set_examples(point: dict[str, Any], value: int) -> None:
    """Examples of a capture or ablation, and lines of a training: the rest of the pairs is not trained on."""
    point["examples"] = value
    rest = (1 - value / pairs(point)) / 2
    point["config"]["tasks"]["addition"]["fractions"] = [value / pairs(point), rest]


def set_layers(point: dict[str, Any], value: int) -> None:
    point["config"]["models"]["mini"]["architecture"]["layers"] = value


def set_width(point: dict[str, Any], value: int) -> None:
    point["config"]["models"]["mini"]["architecture"]["width"] = value


def set_numbers(point: dict[str, Any], value: int) -> None:
    """p: operands up to half of the largest number, and as many examples as before."""
    point["config"]["pretraining"]["numerals"]["numbers"] = value
    point["config"]["tasks"]["addition"]["operands"] = [0, (value - 1) // 2]
    set_examples(point, point["examples"])


def set_shots(point: dict[str, Any], value: int) -> None:
    point["config"]["runs"]["run"]["shots"] = value


def set_draws(point: dict[str, Any], value: int) -> None:
    point["config"]["ablations"]["draws"] = value


@dataclass(frozen=True)
class Curve:
    """One value that grows: of which stage, what the page calls it, how it is set and to what."""

    stage: str
    name: str
    change: Change
    values: tuple[int, ...]

    def points(self, steps: int) -> list[dict[str, Any]]:
        """What each of the first `steps` points runs."""
        found = []
        for value in self.values[:steps]:
            point = copy.deepcopy(base(self.stage))
            set_examples(point, point["examples"])
            self.change(point, value)
            found.append({"stage": self.stage, **point})
        return found


SIZES = {
    "examples": (set_examples, (80, 160, 320)),
    "layers": (set_layers, (2, 4, 8)),
    "width": (set_width, (128, 256, 512)),
    "numbers p": (set_numbers, (51, 101, 201)),
    "shots": (set_shots, (0, 2, 4)),
    "draws of controls": (set_draws, (1, 4, 16)),
}
OF_STAGE = {
    "capture": ("examples", "layers", "width", "numbers p", "shots"),
    "ablation": tuple(SIZES),
    "training": ("examples", "layers", "width", "numbers p"),
}
CURVES = [Curve(stage, name, *SIZES[name]) for stage, names in OF_STAGE.items() for name in names]


def measured(point: dict[str, Any], repeats: int) -> dict[str, Any]:
    """One point, run in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("growth_point.py"))]
    ran = subprocess.run(
        command,
        input=json.dumps({**point, "repeats": repeats}),
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise SystemExit(f"A point of {point['stage']} failed:\n{ran.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measure(curves: list[Curve], given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every curve with its points; points that several curves have in common are run once."""
    wanted = {json.dumps(point, sort_keys=True): point for c in curves for point in c.points(given.steps)}
    with ThreadPoolExecutor(given.jobs) as pool:
        results = dict(
            zip(wanted, pool.map(lambda point: measured(point, given.repeats), wanted.values()), strict=True)
        )
    return [
        {
            "stage": curve.stage,
            "name": curve.name,
            "values": curve.values[: given.steps],
            "points": [results[json.dumps(point, sort_keys=True)] for point in curve.points(given.steps)],
        }
        for curve in curves
    ]


def within(points: list[dict[str, Any]]) -> str:
    """Whether every point stays within the memory and the time that its job asks for, and where not."""
    memory = max(p["host_mb"] / p["asked"]["mem_mb"] for p in points)
    time = max(np.median(p["seconds"]) / 60 / p["asked"]["runtime"] for p in points)
    over = [name for name, share in (("memory", memory), ("time", time)) if share > 1]
    return f"no: {' and '.join(over)}" if over else "yes"


def row(curve: dict[str, Any]) -> list[str]:
    """One row of the page's table."""
    points = curve["points"]
    seconds, expected = (
        [float(np.median(p["seconds"])) for p in points],
        [p["predicted_seconds"] for p in points],
    )
    host, foreseen = [p["host_mb"] for p in points], [p["predicted_host_mb"] for p in points]

    def listed(values: list[float], digits: int) -> str:
        return ", ".join(f"{value:.{digits}f}" for value in values)

    return [
        curve["stage"],
        f"{curve['name']}: {', '.join(map(str, curve['values']))}",
        listed(seconds, 1),
        listed(expected, 1),
        f"{seconds[-1] / seconds[0]:.1f}",
        f"{expected[-1] / expected[0]:.1f}",
        listed(host, 0),
        listed(foreseen, 0),
        within(points),
    ]


HEADINGS = (
    "Stage",
    "What grows",
    "Processor seconds",
    "expected",
    "Times longer",
    "expected",
    "Host MB",
    "expected",
    "Within what is asked for",
)


def table(curves: list[dict[str, Any]]) -> str:
    """All curves as a Markdown table."""
    rows = [row(curve) for curve in curves]
    lines = [list(HEADINGS), ["---"] * 2 + ["---:"] * 6 + ["---"], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def renew(page: Path, printed: str) -> None:
    """Replace what stands between the two marks of a page."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has no lines '{BEGIN}' and '{END}', between which the table goes.")
    with replacing(page) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{printed}\n\n{end}{after}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=tuple(OF_STAGE), default=tuple(OF_STAGE))
    parser.add_argument("--names", nargs="+", choices=tuple(SIZES), default=tuple(SIZES))
    parser.add_argument("--steps", type=int, default=3, help="points of a curve, from its smallest value on")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1)), help="points at a time")
    parser.add_argument("--output", type=Path, help="JSON file for every figure")
    parser.add_argument("--page", type=Path, help="a page that gets the table between its marks")
    parser.add_argument(
        "--from-file", type=Path, help="print the table of such a JSON file, measuring nothing"
    )
    return parser.parse_args()


def main() -> None:
    """Measure every curve, print the table and keep it."""
    given = arguments()
    if given.from_file:
        found = json.loads(given.from_file.read_text())["curves"]
    else:
        found = measure([c for c in CURVES if c.stage in given.stages and c.name in given.names], given)
    if given.output:
        write_json(
            {"threads": 1, "jobs": given.jobs, "repeats": given.repeats, "curves": found}, given.output
        )
    print(table(found))
    if given.page:
        renew(given.page, table(found))


if __name__ == "__main__":
    main()
