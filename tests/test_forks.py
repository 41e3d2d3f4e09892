"""Scripts as forks of one process do what they do in a Python of their own, and end with who started them."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fourier_addition.pipeline import forks
from study import ROOT, copy_of_the_tree, finished

SCRIPTS = ROOT / "workflow/scripts"


@pytest.fixture(scope="module")
def client():
    """The program that stands for Python, once its server listens."""
    program = forks.start_forks(SCRIPTS)
    assert program is not None
    deadline = time.monotonic() + 600
    while not Path(program).with_name("socket").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return program


def ran(program: str, script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, str(script)],
        cwd=script.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_client_waits_for_the_imports(client, tmp_path):
    # The first test: the server has hardly begun to import.
    (tmp_path / "script.py").write_text("import sys; print('torch' in sys.modules)\n")
    done = ran(client, tmp_path / "script.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.parametrize("end", ["closed", "reset"])
def test_without_the_server_the_script_has_a_python_of_its_own(tmp_path, end):
    program, address = tmp_path / "python", tmp_path / "socket"
    program.write_text(forks.CLIENT.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    (tmp_path / "script.py").write_text("import sys; print('torch' in sys.modules)\n")
    listener = forks.listening(str(address))
    waiting = subprocess.Popen(
        [program, str(tmp_path / "script.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if end == "closed":
        listener.accept()[0].close()
    else:
        # The server ends before it has looked at who waits.
        select.select([listener], [], [])
    listener.close()
    out, err = waiting.communicate()
    assert (waiting.returncode, out, err) == (0, "False\n", "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("print(os.getcwd(), os.environ['GIVEN'], sys.argv, __name__)", 0),
        ("print('out'); print('err', file=sys.stderr); sys.exit(3)", 3),
        ("sys.exit('one sentence.')", 1),
        ("import beside; print(beside.VALUE)", 0),
        ("print(sys.stdin.read() == '')", 0),
        ("import atexit; atexit.register(print, 'at the end')", 0),
        ("print(sys.executable)", 0),
        ("import multiprocessing; print(multiprocessing.get_context('fork').Pool(2).map(abs, [-1, -2]))", 0),
    ],
)
def test_a_fork_does_what_python_does(client, tmp_path, body, status):
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    script = tmp_path / "script.py"
    script.write_text(f"import os, sys\n{body}\n")
    own, fork = (ran(program, script, GIVEN="a b") for program in (sys.executable, client))
    assert (fork.returncode, fork.stdout, fork.stderr) == (own.returncode, own.stdout, own.stderr)
    assert fork.returncode == status


def test_an_error_keeps_its_traceback(client, tmp_path):
    (tmp_path / "script.py").write_text("def fault():\n    raise ValueError('what')\nfault()\n")
    fork = ran(client, tmp_path / "script.py")
    assert fork.returncode == 1 and "in fault" in fork.stderr
    assert fork.stderr.splitlines()[-1] == "ValueError: what"


def test_everything_that_takes_long_is_there_and_no_gpu_was_touched(client, tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "print({'torch', 'transformers', 'seaborn', 'fourier_addition.fourier'} <= set(sys.modules))\n"
        "import torch\nprint(torch.cuda.is_initialized())\n"
    )
    # What the first jobs do without is imported while no client waits.
    deadline = time.monotonic() + 600
    while (said := ran(client, tmp_path / "script.py").stdout.split()) == ["False", "False"]:
        assert time.monotonic() < deadline
    assert said == ["True", "False"]


def test_anything_but_a_script_is_python_itself(client):
    command = [client, "-c", "import sys; print(sys.version)"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == sys.version + "\n"


def sleeping(program: str, folder: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A client whose fork sleeps, and the fork."""
    (folder / "script.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid-').write_text(str(os.getpid()))\n"
        "os.rename('pid-', 'pid')\ntime.sleep(3600)\n"
    )
    # Tests that run in the background of a shell have Ctrl-C ignored, and what they start has it too.
    started = subprocess.Popen(
        [program, str(folder / "script.py")],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (folder / "pid").exists():
        time.sleep(0.05)
    return started, psutil.Process(int((folder / "pid").read_text()))


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_fork_ends_with_its_client(client, tmp_path, by):
    started, fork = sleeping(client, tmp_path)
    started.send_signal(by)
    started.wait()
    psutil.wait_procs([fork], timeout=60)
    assert not fork.is_running()


def test_a_client_that_ends_while_it_waits_leaves_nothing(tmp_path):
    start = (
        f"import sys, time; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "import socket; from fourier_addition.pipeline import forks\n"
        f"listener = forks.listening({str(tmp_path / 'socket')!r})\n"
        "print('there', flush=True); sys.stdin.readline()\n"
        "forks.serve(listener, iter(()))\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == "there\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))
    server.stdin.write("go\n")
    server.stdin.flush()
    # A client that came later is answered, so the earlier one has been seen.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))
        assert client.recv(1) == b"!"
    _, left = psutil.wait_procs(psutil.Process(server.pid).children(), timeout=60)
    assert not left
    _, said = server.communicate()
    assert (server.returncode, said) == (0, "")


def test_a_fork_that_the_system_ends_is_said(client, tmp_path):
    started, fork = sleeping(client, tmp_path)
    fork.kill()
    _, said = started.communicate()
    assert started.returncode == 1
    assert said == "The job was ended by signal 9; signal 9 is often a lack of memory.\n"


def test_the_server_ends_with_who_started_it_and_its_forks_with_the_server(tmp_path):
    start = (
        f"import sys, time; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from pathlib import Path\nfrom fourier_addition.pipeline import forks\n"
        "forks.FIRST = forks.LATER = ()\n"
        "print(forks.start_forks(Path(sys.path[0])), flush=True); time.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        program = starter.stdout.readline().strip()
        while not Path(program).with_name("socket").exists():
            time.sleep(0.1)
        (server,) = psutil.Process(starter.pid).children()
        started, fork = sleeping(program, tmp_path)
        starter.kill()
        _, left = psutil.wait_procs([server, fork], timeout=60)
        assert not left
        started.communicate()
        assert started.returncode == 1


def test_where_forks_are_taken(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(forks, "GPUS", ("/dev/there-is-none",))
    enough = forks.ENOUGH_JOBS
    assert forks.forks_are_wanted(enough, {}) and not forks.forks_are_wanted(enough - 1, {})
    assert forks.forks_are_wanted(1, {forks.SWITCH: "1"})
    assert not forks.forks_are_wanted(enough, {forks.SWITCH: "0"})
    monkeypatch.setattr(forks, "GPUS", ("/dev/null",))
    assert not forks.forks_are_wanted(enough, {})
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not forks.forks_are_wanted(enough, {forks.SWITCH: "1"})


@pytest.mark.workflow
@pytest.mark.system
def test_a_study_of_forks_has_the_same_bytes(tmp_path, tmp_path_factory):
    own = finished(tmp_path_factory.getbasetemp())
    study = copy_of_the_tree(tmp_path, "micro")
    made = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=study,
        env={**os.environ, "OMP_NUM_THREADS": "1", forks.SWITCH: "1"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    tables = sorted(path.relative_to(own) for path in own.glob("results/[ft]*/*.csv"))
    assert len(tables) == 5
    for table in tables:
        assert (study / table).read_bytes() == (own / table).read_bytes(), table
