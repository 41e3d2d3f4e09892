"""The Slurm profile on a real Slurm of one node: figures, failures, memory, cancelling, restarts."""

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from study import ROOT, copy_of_the_tree, replace, snakemake

SLURM = ROOT / "tests/slurm"
PROFILE = ("--workflow-profile", "profiles/slurm")
# Of a job that ends between two looks the plugin waits 10 s longer each time, so the first comes late.
PACE = ("--slurm-init-seconds-before-status-checks", "10", "--seconds-between-status-checks", "1")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")
# Of the micro study what needs no captured activations: eight jobs.
TARGETS = [f"results/{path}.csv" for path in ("figures/figure-21", "tables/table-1", "tables/accuracy")]
MISSING = [name for name in PROGRAMS if shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") is None]

pytestmark = pytest.mark.workflow
skip_without_slurm = pytest.mark.skipif(
    bool(MISSING),
    reason=f"no Slurm here ({', '.join(MISSING)} not installed): the cluster profile was not run",
)


def needs_slurm(test):
    """A test of the system tier, on a machine that has Slurm."""
    return pytest.mark.system(skip_without_slurm(test))


class Cluster:
    """A running Slurm in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        }

    def call(self, *command: str) -> str:
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return ran.stdout if ran.returncode == 0 else ""

    def snakemake(self, folder: Path, *arguments: str, expect: int = 0) -> str:
        options = (*arguments, *PROFILE, *PACE, "--latency-wait", "5")
        return snakemake(folder, *options, expect=expect, environment=self.environment)

    def running(self, comment: str) -> str | None:
        """Slurm's number of a running job, by what the queue shows about it."""
        for line in self.call("squeue", "--noheader", "--format=%i|%T|%k").splitlines():
            number, state, shown = line.split("|")
            if state == "RUNNING" and shown == comment:
                return number
        return None

    def ended(self) -> dict[str, dict[str, str]]:
        """What the log of ended jobs says of each, by Slurm's number."""
        lines = (self.folder / "jobs.log").read_text().splitlines()
        entries = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
        return {
            entry["JobId"]: entry | {"Tres": re.search(r"Tres=(\S*)", line).group(1)}
            for entry, line in zip(entries, lines, strict=True)
        }

    def restart_controller(self) -> None:
        subprocess.run(["kill", (self.folder / "slurmctld.pid").read_text().strip()], check=True)
        while (self.folder / "slurmctld.pid").exists():
            time.sleep(0.1)
        subprocess.run(
            ["slurmctld"],
            env=self.environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    subprocess.run([SLURM / "start", folder, "4", "3"], check=True)
    yield Cluster(folder)
    subprocess.run([SLURM / "stop", folder], check=True)
    assert not folder.exists()


def submitted(output: str) -> dict[str, str]:
    """What Snakemake submitted: rule and wildcards (or the group) by Slurm's number."""
    found = re.findall(r"submitted with SLURM jobid (\d+) \(log: .*?/logs/slurm/(.*)/\d+\.log\)", output)
    assert len(found) == output.count("has been submitted")
    return dict(found)


def wait_for(condition, call):
    """What a condition finds while a call is at work."""
    while not (found := condition()):
        assert not call.done(), call.result()
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def disturbed(cluster, tmp_path_factory):
    """The micro study through Slurm, with a job cancelled and the controller restarted on the way."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("cluster"), "micro")
    with ThreadPoolExecutor() as pool:
        call = pool.submit(cluster.snakemake, folder, *TARGETS, "--retries", "0", expect=1)
        # Neither waits for the other.
        names = ["rule_pretrain_model_wildcards_mini", "rule_train_wildcards_mini.scratch.seed0"]
        numbers = wait_for(lambda: all(found := [cluster.running(name) for name in names]) and found, call)
        cluster.call("scancel", numbers[1])
        cluster.restart_controller()
        first = call.result()
    outputs = ("checkpoint", "checkpoint.json", "history.parquet", "accuracy.json")
    left = [name for name in outputs if (folder / "results/runs/mini.scratch.seed0" / name).exists()]
    made = [target for target in TARGETS if (folder / target).exists()]
    second = cluster.snakemake(folder, *TARGETS, "--retries", "0", "--resources", "gpu=0")
    return {
        "folder": folder,
        "first": first,
        "second": second,
        "left": left,
        "made": made,
        "cancelled": numbers[1],
    }


@needs_slurm
def test_the_queue_shows_rule_and_wildcards_and_jobs_get_what_they_ask(cluster, disturbed):
    jobs = {name: cluster.ended()[number] for number, name in submitted(disturbed["first"]).items()}
    train, data = jobs["rule_train/mini.finetuned.seed0"], jobs["rule_dataset/addition-8"]
    assert train["Partition"] == "gpu" and train["ProcCnt"] == "1"
    assert "TresPerJob=gres:gpu:1" in cluster.call("scontrol", "show", "job", train["JobId"])
    assert "gpu" not in cluster.call("scontrol", "show", "job", data["JobId"])
    assert data["Partition"] == "cpu" and data["TimeLimit"] == "10"
    assert jobs["rule_pretrain_model/mini"]["ProcCnt"] == "1"
    assert all(entry["Name"].startswith("fourier-addition_") for entry in jobs.values())


@needs_slurm
def test_a_cancelled_job_leaves_nothing_and_the_others_complete(cluster, disturbed):
    assert cluster.ended()[disturbed["cancelled"]]["JobState"] == "CANCELLED"
    assert f"SLURM-job '{disturbed['cancelled']}' failed, SLURM status is: 'CANCELLED'" in disturbed["first"]
    assert disturbed["left"] == []
    assert disturbed["made"] == TARGETS[:2]


@needs_slurm
def test_a_rerun_completes_and_nothing_is_done_twice(cluster, disturbed):
    states = {number: entry["JobState"] for number, entry in cluster.ended().items()}
    first, second = submitted(disturbed["first"]), submitted(disturbed["second"])
    assert set(second.values()) == {"rule_train/mini.scratch.seed0", "group_views-of-several_table"}
    completed = Counter(name for number, name in (first | second).items() if states[number] == "COMPLETED")
    assert set(completed.values()) == {1} and len(completed) == 8
    assert Counter(states[number] for number in first | second) == {"COMPLETED": 8, "CANCELLED": 1}
    # A figure and a table of one run in one submission.
    assert "group_views-mini.finetuned.seed0_figure_errors_table" in completed
    folder = disturbed["folder"]
    assert "Nothing to be done" in snakemake(
        folder, "-n", *TARGETS, *PROFILE, environment=cluster.environment
    )
    # Slurm's own logs of jobs that went well are gone, the jobs' logs are there.
    assert len(list(folder.glob("logs/slurm/**/*.log"))) == 1
    assert len([path for path in folder.glob("logs/**/*.log") if "slurm" not in path.parts]) == 9


@needs_slurm
def test_without_gpus_every_job_goes_where_there_are_none(cluster, disturbed):
    (train,) = [
        number for number, name in submitted(disturbed["second"]).items() if name.startswith("rule_train/")
    ]
    assert cluster.ended()[train]["Partition"] == "cpu"
    assert "gpu" not in cluster.call("scontrol", "show", "job", train)


@needs_slurm
def test_figures_and_tables_have_the_bytes_of_a_local_run(disturbed, tmp_path):
    local = copy_of_the_tree(tmp_path, "micro")
    snakemake(local, "--cores", "2", *TARGETS)
    here, there = (
        {str(path.relative_to(folder)) for path in folder.rglob("results/**/*")}
        for folder in (local, disturbed["folder"])
    )
    assert here == there
    for file in TARGETS:
        assert (local / file).read_bytes() == (disturbed["folder"] / file).read_bytes(), file


@needs_slurm
def test_a_failing_job_says_one_sentence_and_the_others_complete(cluster, disturbed, tmp_path):
    folder = Path(shutil.copytree(disturbed["folder"], tmp_path / "study", symlinks=True))
    run = folder / "results/runs/mini.finetuned.seed0"
    (run / "checkpoint/model.safetensors").write_bytes(b"not weights")
    shutil.rmtree(run / "ablation")
    for target in TARGETS[1:]:
        (folder / target).unlink()
    output = cluster.snakemake(folder, *TARGETS[1:], "--retries", "0", expect=1)
    states = {name: cluster.ended()[number]["JobState"] for number, name in submitted(output).items()}
    assert states == {
        "rule_ablate/mini.finetuned.seed0_all": "FAILED",
        "group_views-of-several_table": "COMPLETED",
    }
    (log,) = folder.glob("logs/slurm/rule_ablate/**/*.log")
    said = [line for line in log.read_text().splitlines() if line.startswith("ablate:")]
    assert len(said) == 1 and "model.safetensors" in said[0]
    assert "Traceback" not in log.read_text()
    assert not [path for path in run.glob("ablation/**/*") if path.is_file()]
    assert [(folder / target).exists() for target in TARGETS] == [True, False, True]


@needs_slurm
def test_a_job_over_its_memory_is_submitted_again_with_twice_as_much(cluster, tmp_path):
    folder = copy_of_the_tree(tmp_path, "micro")
    # The first attempt stays until Slurm has looked and killed it, however long that takes.
    hungry = (
        "    import time\n\n    held = bytearray(b'x') * 700_000_000\n"
        "    time.sleep(3600 if snakemake.resources.mem_mb < 1000 else 0)\n"
    )
    script = folder / "workflow/scripts/dataset.py"
    replace(script, "with job(snakemake) as log:\n", "with job(snakemake) as log:\n" + hungry)
    output = cluster.snakemake(folder, "results/datasets/addition-8.parquet")
    attempts = [cluster.ended()[number] for number in submitted(output)]
    asked = [int(re.search(r"mem=(\d+)M", entry["Tres"]).group(1)) for entry in attempts]
    assert asked[1] == 2 * asked[0]
    assert [entry["JobState"] for entry in attempts] == ["FAILED", "COMPLETED"]
    (log,) = folder.glob("logs/slurm/rule_dataset/**/*.log")
    assert "exceeded memory limit" in log.read_text()
    assert (folder / "results/datasets/addition-8.parquet").exists()


@pytest.mark.parametrize("config", ["config.yaml", "paper.yaml"])
def test_the_profile_plans_shipped_configurations(tmp_path, config):
    """Also where there is no Slurm: groups are sound and jobs that ask for a GPU keep it."""
    folder = copy_of_the_tree(tmp_path)
    shutil.copy2(ROOT / "config" / config, folder / "config/config.yaml")
    output = snakemake(folder, "-n", *PROFILE)
    assert "gpu=1" in output


def test_the_profile_keeps_what_the_default_one_sets():
    default, slurm = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", "slurm")
    )
    # Who takes which job when is up to the cluster.
    del default["scheduler"]
    assert {key: slurm.get(key) for key in default} == default
