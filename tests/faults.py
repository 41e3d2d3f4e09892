"""A study to be hurt, jobs killed at random moments, and disks that are full or read-only."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml
from study import SNAKEMAKE, copy_of_the_tree, replace

STAGES = {
    "fetch_model": "download",
    "pretrain_model": "pre-training",
    "train": "training",
    "capture": "capture",
    "ablate": "ablation",
    "figure": "plotting",
}
"""What a script (for figures: the first word of its name) is a stage of."""
PROGRESS = {
    "pre-training": ("models/mini.log", r"step (\d+) of", 50),
    "training": ("runs/*/train.log", r"epoch (\d+):", 1),
}
"""Stage that resumes -> its logs below `logs/`, its lines of progress, the number in the first one."""
KINDS = ("job", "group", "job", "snakemake", "job")
"""What is killed in turn: the job's process, Snakemake's process group, Snakemake alone."""
REPOSITORY = "somebody/model"
TARGETS = (
    "all",
    "results/models/fetched.json",
    "results/models/mini.json",
    "results/runs/mini.finetuned.seed0/checkpoint.json",
    "results/runs/mini.scratch.seed0/checkpoint.json",
)
"""What a study is asked for: also the weights, which are made only for what needs them otherwise."""
STARTS = 300
"""So often a study is started again at most: every stage has its kills in some forty starts."""


def study_to_hurt(folder: Path, revision: str | None = None) -> Path:
    """The micro study, long enough to be killed in the middle, with a lens and perhaps a fetched model.

    revision: of the model on a hub that serves REPOSITORY; without one there is no fetched model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy_of_the_tree(folder, "micro")
    path = folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["pretraining"]["numerals"]["steps"] = 200
    for run in config["runs"].values():
        run["epochs"] = 40
    config["figures"]["lens"] = {"kind": "lens", "run": "mini.finetuned"}
    if revision is not None:
        config["models"]["fetched"] = {"sources": [{"hub": REPOSITORY, "revision": revision}]}
        config["embeddings"] = {"fetched": {"numbers": 17, "label": "fetched"}}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    # A state is saved once a minute; here it is saved after every step.
    replace(
        folder / "workflow/scripts/fourier_addition/training/settings.py",
        "save_seconds: float = 60.0",
        "save_seconds: float = 0.0",
    )
    return folder


def jobs_below(snakemake: psutil.Process) -> dict[int, str]:
    """Script jobs of a running Snakemake: process id -> stage."""
    found = {}
    with contextlib.suppress(psutil.Error):
        for child in snakemake.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                script = re.search(r"\.snakemake/scripts/\w+\.(\w+)\.py", " ".join(child.cmdline()))
                name = script[1] if script else ""
                stage = STAGES.get(name) or STAGES.get(name.split("_")[0])
                if stage:
                    found[child.pid] = stage
    return found


def logs_of(pid: int) -> list[Path]:
    """The log files that a process writes."""
    with contextlib.suppress(psutil.Error):
        return [Path(file.path) for file in psutil.Process(pid).open_files() if file.path.endswith(".log")]
    return []


def running(pid: int) -> bool:
    """Whether a process is there and no mere zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def being_written(results: Path) -> set[str]:
    """Folders in which outputs are being written, by whatever job; they come and go meanwhile."""
    return {
        os.path.join(root, name)
        for root, names, _ in os.walk(results)
        for name in names
        if name.endswith(".partial")
    }


def unfinished(folder: Path) -> list[Path]:
    """Everything that only a job at work should have below a study's results and caches."""
    names = ("*.partial", ".*.fetch", "*.state", "*.incomplete", "*.tmp")
    return sorted(path for name in names for path in folder.rglob(name) if ".snakemake" not in path.parts)


@dataclass
class Killer:
    """Runs a study to its end through kills at random moments.

    seed: of the moments. seconds: stage -> how long its jobs take when nobody kills them.
    each: kills of every stage. counts: (stage, kind) -> kills so far. starts: of Snakemake.
    resumed: stages whose jobs were seen to go on from a saved state.
    """

    folder: Path
    environment: Mapping[str, str]
    seconds: Mapping[str, float]
    seed: int
    each: int = 5
    counts: Counter = field(default_factory=Counter)
    starts: int = 0
    resumed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def killed(self, stage: str) -> int:
        """Kills of one stage, of every kind."""
        return sum(count for (name, _), count in self.counts.items() if name == stage)

    def missing(self) -> list[str]:
        """Stages that have not had their kills."""
        return [stage for stage in STAGES.values() if self.killed(stage) < self.each]

    def moment(self, stage: str, pid: int) -> Callable[[], bool]:
        """When a job of a stage is to die: at a random time, as it writes, or when it can be resumed."""
        results, turn = self.folder / "results", self.killed(stage)
        before, due = being_written(results), []

        def always() -> bool:
            return True

        def writes() -> bool:
            return bool(being_written(results) - before)

        def saved() -> bool:
            # A state is saved after every step: past its second line of progress a job has one that
            # is later than the first, so that the job which goes on from it is known by its log.
            return any(line > PROGRESS[stage][2] for line in self.progress(stage, logs_of(pid)))

        if stage == "download" and turn in (1, 3):
            ready, longest = self.has_arrived_in_part, 0.2
        elif stage in PROGRESS and turn in (1, 3):
            ready, longest = saved, 0.2
        elif turn == 2 and stage != "download":  # which writes into a cache, and its folder in no time
            ready, longest = writes, 0.02
        else:
            ready, longest = always, 0.9 * self.seconds[stage]
        wait = self.random.uniform(0, longest)

        def now() -> bool:
            if not due and ready():
                due.append(time.monotonic() + wait)
            return bool(due) and time.monotonic() >= due[0]

        return now

    def has_arrived_in_part(self) -> bool:
        """Whether a download has begun and can go on from what is there."""
        with contextlib.suppress(FileNotFoundError):
            partial = Path(self.environment["HF_HOME"]).rglob("*.resumable.incomplete")
            return any(file.stat().st_size > 0 for file in partial)
        return False

    def progress(self, stage: str, logs: Iterable[Path]) -> list[int]:
        """The numbers that logs of a stage report as its progress."""
        found = []
        for log in logs:
            with contextlib.suppress(FileNotFoundError):
                found += map(int, re.findall(PROGRESS[stage][1], log.read_text()))
        return found

    def kill(self, snakemake: subprocess.Popen, pid: int, stage: str) -> str | None:
        """Kill the job, Snakemake's group, or Snakemake alone; which, or None where it had just ended."""
        kind = KINDS[self.killed(stage) % len(KINDS)]
        self.look_for_resumed()
        alive = list(jobs_below(psutil.Process(snakemake.pid)))
        if not running(pid):
            return None
        if kind == "job":
            os.kill(pid, signal.SIGKILL)
        elif kind == "group":
            os.killpg(snakemake.pid, signal.SIGKILL)
        else:
            snakemake.kill()
            # A job that is still importing ends when it has done so.
            # One that goes on would do so until pytest ends the test.
            while any(map(running, alive)):
                time.sleep(0.01)
        self.counts[stage, kind] += 1
        return kind

    def look_for_resumed(self) -> None:
        """Note the stages whose logs begin after the first progress line of an undisturbed run."""
        for stage, (name, _, first) in PROGRESS.items():
            for log in (self.folder / "logs").glob(name):
                if self.progress(stage, [log])[:1] > [first]:
                    self.resumed.add(stage)

    def run(self, log: Path) -> int | None:
        """One Snakemake call, until it ends or is killed (None)."""
        # Once the study is complete, what was missed has to be made again to be killed.
        force = ["--forcerun", *map(rule_of, self.missing())] if self.complete() else []
        # There must be something to fetch. What has arrived in part stays: a later job goes on from it.
        if force and self.killed("download") < self.each and not self.has_arrived_in_part():
            shutil.rmtree(self.environment["HF_HOME"], ignore_errors=True)
        self.starts += 1
        with log.open("w") as output:
            process = subprocess.Popen(
                [*SNAKEMAKE, *TARGETS, "--cores", "2", "--retries", "20", *force],
                cwd=self.folder,
                env={**self.environment, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            watched, jobs, moments, tried = psutil.Process(process.pid), {}, {}, set()
            looked = 0.0
            while process.poll() is None:
                # Looking through all processes costs more than asking whether a moment has come.
                if time.monotonic() - looked > 0.1:
                    jobs, looked = jobs_below(watched), time.monotonic()
                for pid, stage in jobs.items():
                    turn = self.killed(stage)
                    if turn == self.each or pid in tried:
                        continue
                    # Another job of the stage may have been killed since this one was seen.
                    if moments.get(pid, (None,))[0] != turn:
                        moments[pid] = turn, self.moment(stage, pid)
                    elif moments[pid][1]():
                        tried.add(pid)
                        if self.kill(process, pid, stage) in ("group", "snakemake"):
                            process.wait()
                            return None
                time.sleep(0.02)
        return process.returncode

    def complete(self) -> bool:
        """Whether every figure of the study is there."""
        config = yaml.safe_load((self.folder / "config/config.yaml").read_text())
        return all((self.folder / f"results/figures/{name}.csv").exists() for name in config["figures"])

    def to_the_end(self) -> None:
        """Start Snakemake again after every kill, until every stage had its kills and it has ended well."""
        log = self.folder / "snakemake.out"
        while True:
            assert self.starts < STARTS, (dict(self.counts), log.read_text()[-3000:])
            code = self.run(log)
            assert code in (0, None), log.read_text()[-6000:]
            self.look_for_resumed()
            if code == 0 and not self.missing():
                return


def rule_of(stage: str) -> str:
    """A rule that makes a stage's jobs run."""
    return {"plotting": "figure_spectrum"}.get(stage) or next(k for k, v in STAGES.items() if v == stage)


def durations(command: Iterable[str], folder: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Run a command in a folder to its end; stage -> seconds of its shortest job."""
    log = folder / "snakemake.out"
    with log.open("w") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        first: dict[int, float] = {}
        last: dict[int, tuple[str, float]] = {}
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            for pid, stage in jobs_below(watched).items():
                first.setdefault(pid, time.monotonic())
                last[pid] = (stage, time.monotonic())
            time.sleep(0.1)
    assert process.returncode == 0, log.read_text()[-6000:]
    seconds: dict[str, float] = {}
    for pid, (stage, end) in last.items():
        seconds[stage] = min(seconds.get(stage, 1e9), end - first[pid])
    return seconds


def data(folder: Path) -> dict[str, bytes]:
    """What must not depend on faults: CSV of figures and tables, and weights; path -> bytes."""
    wanted = (
        "figures/*.csv",
        "tables/*.csv",
        "models/*/model.safetensors",
        "runs/*/checkpoint/model.safetensors",
    )
    results = folder / "results"
    return {str(p.relative_to(results)): p.read_bytes() for name in wanted for p in results.glob(name)}


def in_own_mounts(script: str, folder: Path) -> None:
    """Run a shell script in `folder` with mounts of its own; skips where none may be made."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    probe = ["sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, *probe], capture_output=True).returncode:
        pytest.skip("this system lets tests mount nothing")
    ran = subprocess.run(
        [*unshare, "bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SNAKEMAKE": " ".join(SNAKEMAKE)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def sentences(output: str) -> list[tuple[str, str]]:
    """What failed jobs said in Snakemake's output, each once: (rule, sentence). There is no traceback."""
    assert "Traceback" not in output, output[-6000:]
    rules = set(re.findall(r"^Error in rule (\w+):", output, re.MULTILINE))
    said = re.findall(r"^(\w+): (.+)$", output, re.MULTILINE)
    return [(rule, sentence) for rule, sentence in said if rule in rules]


def flip(path: Path) -> None:
    """Change one bit in the middle of a file, whose size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    """Cut a file off in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
