"""A process that has imported Snakemake and the science once, and forks for every call and every job.

Importing takes longer than most calls of a test-sized study. A fork has nothing of another call: the package
itself is not imported before, so that each call has the code of its own study. Where a process of its own is
the point (kills, clusters, storage, environments), tests start one.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

IMPORTED = (
    *("snakemake.cli", "snakemake.api", "snakemake.workflow", "snakemake.script", "jsonschema", "yaml"),
    "snakemake_storage_plugin_s3",
    *("pandas", "pyarrow.parquet", "scipy.stats", "scipy.optimize", "sklearn.cluster", "sklearn.manifold"),
    *("xarray", "zarr", "torch", "transformers", "safetensors.torch", "tokenizers"),
    *("matplotlib.pyplot", "seaborn"),
)
"""Modules of other people that Snakemake and the jobs import."""
CLIENT = """#!{python} -ISE
# In place of a program: hands the call to the process that has imported everything.
import json, os, socket, sys
arguments = sys.argv[1:]
if {otherwise}:
    os.execv({python!r}, [{python!r}, *arguments])
call = {{"run": {run!r}, "arguments": arguments[{skipped}:]}}
call |= {{"folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"!"], [1, 2])
    server.sendall(json.dumps(call).encode() + b"\\n")
    status = server.makefile().read()
sys.exit(int(status) if status else 1)
"""
OTHERWISE = {
    "script": "len(arguments) != 1 or not os.path.isfile(arguments[0])",
    "module": "arguments[:1] != ['-m'] or not arguments[1].startswith('fourier_addition.')",
    "snakemake": "False",
}
"""When a program in place of another is Python itself after all, by what it runs."""


def write_client(path: Path, run: str, address: str) -> None:
    """Write the program that hands a `script`, a `module` or a call of `snakemake` to the process."""
    given = {"run": run, "otherwise": OTHERWISE[run], "skipped": int(run == "module"), "address": address}
    path.write_text(CLIENT.format(python=sys.executable, **given))
    path.chmod(0o755)


def _read(connection: socket.socket) -> dict:
    """The call that a client sends, whose outputs are this process's from now on."""
    _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    return json.loads(connection.makefile().readline())


def _run(call: dict, job: str) -> int:
    """Run one call in this fork; its exit status."""
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    try:
        if call["run"] == "snakemake":
            sys.argv = ["snakemake", *call["arguments"]]
            sys.path.insert(0, "")
            sys.executable = job
            # What Snakemake keeps of the folder in which it was imported.
            sys.modules["snakemake.workflow"].Workflow._rundir = os.getcwd()
            sys.modules["snakemake.cli"].main(call["arguments"])
        elif call["run"] == "module":
            sys.argv = call["arguments"]
            sys.path[:0] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
            runpy.run_module(call["arguments"][0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = call["arguments"]
            sys.path.insert(0, os.path.dirname(call["arguments"][0]))
            runpy.run_path(call["arguments"][0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def reap(*_: object) -> None:
    """Wait for every fork that has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(address: str, job: str) -> None:
    """Fork for every connection, until standard input ends with the process of the tests."""
    for name in IMPORTED:
        importlib.import_module(name)
    sys.path[:] = [path for path in sys.path if path not in ("", os.path.dirname(__file__))]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                shutil.rmtree(os.path.dirname(address))
                os._exit(0)
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                status = _run(_read(connection), job)
                sys.stdout.flush()
                sys.stderr.flush()
                connection.sendall(str(status).encode())
                os._exit(status)
            connection.close()


@cache
def server() -> str:
    """Address of the serving process of this test process, which starts at the first call."""
    from fourier_addition.pipeline.processor import choose_instructions, has_avx2

    folder = Path(tempfile.mkdtemp(prefix="warm-", dir="/tmp"))
    address, job = folder / "socket", folder / "python"
    # What a study would ask of the libraries must be asked before they are imported.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    choose_instructions(environment, available=has_avx2())
    write_client(job, "script", str(address))
    process = subprocess.Popen(
        [sys.executable, __file__, str(address), str(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        cwd=folder,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"

    def stop() -> None:
        process.stdin.close()
        process.wait()

    atexit.register(stop)
    return str(address)


def call(run: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Status, output and errors of a call: of `snakemake`, of a `module` by its name, or of a `script`."""
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(server())
        socket.send_fds(client, [b"!"], [output.fileno(), errors.fileno()])
        asked = {"run": run, "arguments": arguments, "folder": str(folder), "environment": environment}
        client.sendall(json.dumps(asked).encode() + b"\n")
        status = client.makefile().read()
        output.seek(0)
        errors.seek(0)
        return int(status or 1), output.read().decode(), errors.read().decode()


if __name__ == "__main__":
    # Forks that ended are waited for; the end of a terminal's command is the tests' affair.
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.argv[1], sys.argv[2])
