"""One process that imports torch, transformers and seaborn once; a local job's script is a fork of it.

A job of the default configuration spends three to six seconds on imports, and most need less for their work.
So where many jobs run on this machine, Snakemake starts this module beside itself, and hands each script to
it instead of to a new Python:

    Snakemake -> shell -> client (a small script) -> socket -> server -> fork, which runs the script

The fork has the client's folder, environment and outputs, and dies with the client, the server and Snakemake.
Clients wait until the server has imported what models need: jobs that import the same at the same time would
only slow it. The rest is imported while no client waits. Where there is no server, or it ends, the client is
replaced by Python itself. The server touches no GPU.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

SWITCH = "FOURIER_ADDITION_FORKS"
"""Environment variable: 0 gives every job a new Python, 1 takes forks for any number of jobs."""
ENOUGH_JOBS = 12
"""Below it, the imports of the server would take longer than those that they save."""
GPUS = ("/dev/nvidiactl", "/dev/kfd")
"""Files of a machine with a GPU of NVIDIA or AMD."""
LONGEST_ADDRESS = 100
"""Bytes of a socket's path: systems allow 104 to 108."""

PACKAGE = "fourier_addition"
FIRST = (
    *("numpy", "pandas", "pyarrow.parquet", "torch", "transformers", "safetensors.torch", "tokenizers"),
    *(
        "threadpoolctl",
        "yaml",
        "snakemake.script",
        f"{PACKAGE}.training.run",
        f"{PACKAGE}.training.pretraining",
    ),
)
"""What jobs that train or read a model import: the first jobs of a study."""
LATER = (
    *("xarray", "zarr", "scipy.optimize", "sklearn.cluster", "sklearn.manifold", "matplotlib.pyplot"),
    *("seaborn", "jsonschema"),
)
"""What other jobs import, beside the rest of this package."""

CLIENT = """#!{python} -ISE
import json, os, socket, sys
def plain():
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
if len(sys.argv) != 2 or not os.path.isfile(sys.argv[1]) or not os.path.exists({address!r}):
    plain()
server = socket.socket(socket.AF_UNIX)
try:
    server.connect({address!r})
    ready = server.recv(1)
except OSError:
    ready = b""
if not ready:
    plain()
call = {{"script": sys.argv[1], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(server, [b"!"], [1, 2])
server.sendall(json.dumps(call).encode() + b"\\n")
status = server.makefile().read()
if not status:
    sys.stderr.write("The process that runs the jobs has ended; run Snakemake again.\\n")
elif int(status) < 0:
    sys.stderr.write(f"The job was ended by signal {{-int(status)}}; signal 9 is often a lack of memory.\\n")
sys.exit(int(status) % 256 if status and int(status) >= 0 else 1)
"""


def forks_are_wanted(jobs: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether local scripts are to be forks: many jobs, on Linux, where no GPU would be shared.

    jobs: that are about to run. A process that has touched a GPU must not fork, and on a machine with a
    GPU the imports are little beside the work.
    """
    asked = environment.get(SWITCH, "")
    if sys.platform != "linux" or asked == "0":
        return False
    return asked == "1" or (jobs >= ENOUGH_JOBS and not any(Path(file).exists() for file in GPUS))


def start_forks(scripts: Path) -> str | None:
    """Start the server, which ends with this process -> path of the client that stands for Python.

    scripts: the folder of the package. None where this machine's temporary folder may hold no programs
    or has too long a name: then every job has a new Python.
    """
    folder = Path(tempfile.mkdtemp(prefix="fork-"))
    address, client = folder / "socket", folder / "python"
    may_run = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    if not may_run or len(os.fsencode(address)) > LONGEST_ADDRESS or " " in str(folder):
        folder.rmdir()
        return None
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    # The server lives until the other end of its standard input is closed, however this process ends.
    server = subprocess.Popen(
        [sys.executable, __file__, str(scripts), str(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert server.stdin is not None
    atexit.register(_stop, server, folder)
    return str(client)


def _stop(server: subprocess.Popen[bytes], folder: Path) -> None:
    if server.stdin is not None:
        server.stdin.close()
    try:
        server.wait(timeout=1)
    except subprocess.TimeoutExpired:
        # It is still importing.
        server.kill()
        server.wait()
    shutil.rmtree(folder, ignore_errors=True)


# The server


def imported(name: str, scripts: str) -> ModuleType:
    """A module, of this package as it is now, which is as Snakemake planned with it, or of other people."""
    sys.path.insert(0, scripts)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(scripts)


def imports(scripts: str) -> Iterator[ModuleType]:
    """Import what jobs need beside `FIRST`, a module at a time."""
    for name in LATER:
        yield imported(name, scripts)
    package = imported(PACKAGE, scripts)
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        yield imported(module.name, scripts)


def listening(address: str) -> socket.socket:
    """A socket at an address, where clients may wait from now on."""
    listener = socket.socket(socket.AF_UNIX)
    # Bound elsewhere first: a client that sees the address can connect to it.
    listener.bind(f"{address}-")
    listener.listen(256)
    os.rename(f"{address}-", address)
    return listener


def serve(listener: socket.socket, work: Iterator[ModuleType]) -> dict[str, Any]:
    """Fork for every client, until standard input ends -> in a fork, the call; the server never returns.

    work: done a piece at a time while nothing happens.
    """
    watched = select.poll()
    watched.register(listener, select.POLLIN)
    watched.register(0, select.POLLIN)
    # By file descriptor: of a client's connection, and of the end of its fork.
    children: dict[int, tuple[int, socket.socket, int]] = {}
    idle = False
    while True:
        happened = watched.poll(None if idle else 0)
        if not happened:
            idle = next(work, None) is None
            # Pages of objects that are never looked at again stay shared with the forks.
            if idle:
                gc.collect()
                gc.freeze()
        for seen, _ in happened:
            if seen == 0:
                _end_all(child for child, _, _ in children.values())
            elif seen == listener.fileno():
                connection, _ = listener.accept()
                child = os.fork()
                if child == 0:
                    listener.close()
                    return _call_of(connection)
                ended = os.pidfd_open(child)
                children[connection.fileno()] = children[ended] = child, connection, ended
                watched.register(ended, select.POLLIN)
                # What the client sends is the fork's to read; the server looks for its end alone.
                watched.register(connection, select.POLLRDHUP)
            elif seen in children:
                child, connection, ended = children[seen]
                if seen != ended:
                    # The client was ended: so is its fork.
                    watched.unregister(connection)
                    os.kill(child, signal.SIGKILL)
                    continue
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                for each in (connection.fileno(), ended):
                    del children[each]
                    with contextlib.suppress(KeyError):
                        watched.unregister(each)
                os.close(ended)
                with connection, contextlib.suppress(OSError):
                    connection.sendall(str(status).encode())


def _end_all(children: Iterable[int]) -> NoReturn:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os._exit(0)


# A fork


def _call_of(connection: socket.socket) -> dict[str, Any]:
    """The call that a client sends; its outputs are this process's from now on."""
    end_with_parent = 1
    ctypes.CDLL(None).prctl(end_with_parent, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(OSError):
        connection.sendall(b"!")
    _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
    if not outputs:
        # The client was ended while it waited.
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for there, here in ((nothing, 0), (outputs[0], 1), (outputs[1], 2)):
        os.dup2(there, here)
        os.close(there)
    line = connection.makefile().readline()
    # The server answers, once this process has ended.
    connection.close()
    return json.loads(line)


def run_script(call: Mapping[str, Any]) -> int:
    """Run a script as Python would -> its exit status."""
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = [call["script"]]
    sys.path.insert(0, os.path.dirname(call["script"]))
    try:
        runpy.run_path(call["script"], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """The server, and every fork of it: usage forks.py SCRIPTS ADDRESS."""
    # An interrupt from the keyboard reaches clients and forks too; Snakemake ends the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scripts, address = sys.argv[1:]
    sys.path[:] = [path for path in sys.path if path not in ("", os.path.dirname(os.path.abspath(__file__)))]
    listener = listening(address)
    for name in FIRST:
        imported(name, scripts)
    status = run_script(serve(listener, imports(scripts)))
    # As at the end of Python, without taking the imports apart.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
