"""A model hub on 127.0.0.1 that speaks what huggingface_hub asks of one.

    with HubServer({"openai-community/gpt2": directory}) as hub:
        subprocess.run(command, env=hub.environment(home))

Like the real one it answers a file request for weights with a redirect to storage on another
origin (a second port here), which serves by SHA-256 and understands Range. `hub.log` lists what
was asked for and how many bytes of body were sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".gguf")


@dataclass
class Request:
    """One answered request. sent: bytes of body; range: first byte asked for, None without Range."""

    method: str
    path: str
    status: int
    sent: int
    range: int | None
    token: str | None
    storage: bool


@dataclass
class _Fault:
    after: int
    hold: bool


class HubServer:
    """Serve directories as model repositories.

    repositories: owner/name -> directory, read at every request.
    revisions: owner/name -> the commit to serve it at; without one, a digest of the directory.
    gated: owner/name -> the only token that may read its files.
    ranges: whether storage honours Range; without, it sends the whole file.
    pace: bytes a second at which storage sends; None sends at once.
    """

    def __init__(
        self,
        repositories: Mapping[str, str | Path],
        *,
        revisions: Mapping[str, str] | None = None,
        gated: Mapping[str, str] | None = None,
        ranges: bool = True,
        pace: float | None = None,
    ) -> None:
        self.repositories = {name: Path(directory) for name, directory in repositories.items()}
        self.revisions = {name: _commit(directory) for name, directory in self.repositories.items()}
        self.revisions.update(revisions or {})
        self.gated = dict(gated or {})
        self.ranges = ranges
        self.pace = pace
        self.log: list[Request] = []
        self.faults: dict[str, list[_Fault]] = {}
        self.held, self.stopping = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self._hub, self._storage = self._listen("hub"), self._listen("storage")
        self.url = f"http://127.0.0.1:{self._hub.server_address[1]}"
        self.storage_url = f"http://127.0.0.1:{self._storage.server_address[1]}"

    def _listen(self, role: str) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "role": role})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def __enter__(self) -> HubServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering; later connections are refused."""
        self.stopping.set()
        for server in (self._hub, self._storage):
            server.shutdown()
            server.server_close()

    def drop(self, filename: str, *, after: int) -> None:
        """Close the connection of the next transfer of `filename` after that many bytes of it."""
        self.faults.setdefault(filename, []).append(_Fault(after, hold=False))

    def hold(self, filename: str, *, after: int) -> None:
        """Send that many bytes of the next transfer of `filename`, set `held`, then send nothing."""
        self.faults.setdefault(filename, []).append(_Fault(after, hold=True))

    def transfers(self, filename: str) -> list[Request]:
        """Requests that asked for the content of a weights file, in order."""
        return [entry for entry in self.log if entry.storage and entry.path.endswith(f"/{filename}")]

    def environment(self, home: str | Path, **more: str) -> dict[str, str]:
        """Environment of a process that uses this hub, with an empty cache below `home`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return {**kept, **ours, **more}


def _commit(directory: Path) -> str:
    digest = hashlib.sha1()
    for file in _files(directory):
        digest.update(f"{file.relative_to(directory)} {_hashes(file, file.stat().st_mtime_ns)[1]}".encode())
    return digest.hexdigest()


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.rglob("*") if file.is_file())


@lru_cache
def _hashes(file: Path, modified: int) -> tuple[str, str]:
    """(git's name of the blob, SHA-256) of a file; `modified` keeps the cache honest."""
    content = file.read_bytes()
    return (
        hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest(),
        hashlib.sha256(content).hexdigest(),
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer
    role: str

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *arguments: object) -> None:
        """Standard error stays clean; the log is `hub.log`."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.role == "storage":
            self._from_storage(path)
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            repository, _, rest = path[1:].partition("/resolve/")
            revision, _, filename = rest.partition("/")
            self._resolve(repository, revision, filename)
        else:
            self._refuse(404, "EntryNotFound")

    def _known(self, repository: str, revision: str | None) -> bool:
        """Answer for a repository or revision that is not there; True when both are."""
        if repository not in self.hub.repositories:
            # To a stranger the hub does not tell a missing repository from a private one.
            self._refuse(404, "RepoNotFound") if self._token() else self._refuse(401, None)
        elif revision not in (None, "main", self.hub.revisions[repository]):
            self._refuse(404, "RevisionNotFound")
        else:
            return True
        return False

    def _api(self, rest: str) -> None:
        for route in ("tree", "revision", None):
            repository, separator, revision = rest.partition(f"/{route}/") if route else (rest, "", "")
            if separator or route is None:
                break
        if not self._known(repository, revision.split("/")[0] or None):
            return
        directory = self.hub.repositories[repository]
        commit = self.hub.revisions[repository]
        files = [(str(file.relative_to(directory)), file) for file in _files(directory)]
        if route == "tree":
            value: object = [self._tree_entry(name, file) for name, file in files]
        else:
            value = {
                "_id": commit[:24],
                "id": repository,
                "modelId": repository,
                "sha": commit,
                "private": False,
                "gated": "manual" if repository in self.hub.gated else False,
                "tags": [],
                "siblings": [{"rfilename": name} for name, _ in files],
            }
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    @staticmethod
    def _tree_entry(name: str, file: Path) -> dict[str, object]:
        git, sha256 = _hashes(file, file.stat().st_mtime_ns)
        entry: dict[str, object] = {"type": "file", "oid": git, "size": file.stat().st_size, "path": name}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": sha256, "size": file.stat().st_size, "pointerSize": 134}
        return entry

    def _resolve(self, repository: str, revision: str, filename: str) -> None:
        if not self._known(repository, revision):
            return
        if repository in self.hub.gated and self._token() != self.hub.gated[repository]:
            self._refuse(403 if self._token() else 401, "GatedRepo")
            return
        directory = self.hub.repositories[repository]
        file = directory / filename
        if file not in _files(directory):
            self._refuse(404, "EntryNotFound")
            return
        git, sha256 = _hashes(file, file.stat().st_mtime_ns)
        headers = {"X-Repo-Commit": self.hub.revisions[repository], "ETag": f'"{git}"'}
        if filename.endswith(LARGE):
            headers["X-Linked-Etag"] = f'"{sha256}"'
            headers["X-Linked-Size"] = str(file.stat().st_size)
            headers["Location"] = f"{self.hub.storage_url}/{repository}/{sha256}/{filename}"
            self._send(302, b"", headers)
        else:
            self._send(200, file.read_bytes(), headers)

    def _from_storage(self, path: str) -> None:
        repository, sha256, filename = path[1:].rsplit("/", 2)
        content = (self.hub.repositories[repository] / filename).read_bytes()
        first = self._first_byte() if self.hub.ranges else None
        headers = {"ETag": f'"{sha256}"'}
        if first is None:
            self._send(200, content, headers, filename=filename)
        elif first >= len(content):
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
        else:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._send(206, content[first:], headers, filename=filename)

    def _first_byte(self) -> int | None:
        asked = self.headers.get("Range")
        return int(asked.removeprefix("bytes=").split("-")[0]) if asked else None

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _refuse(self, status: int, code: str | None) -> None:
        headers = {"X-Error-Message": "Refused."} | ({"X-Error-Code": code} if code else {})
        self._send(status, b'{"error": "Refused."}', {**headers, "Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, filename: str = "") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        fault = None
        if self.command == "HEAD":
            body = b""
        elif filename:
            with self.hub.lock:
                waiting = self.hub.faults.get(filename)
                fault = waiting.pop(0) if waiting else None
        if fault:
            body = body[: fault.after]
        # Written down first: whoever has the body may look at once.
        self.hub.log.append(
            Request(
                self.command,
                unquote(self.path),
                status,
                len(body),
                self._first_byte(),
                self._token(),
                self.role == "storage",
            )
        )
        try:
            if filename and self.hub.pace:
                for start in range(0, len(body), 2**17):
                    self.wfile.write(body[start : start + 2**17])
                    time.sleep(2**17 / self.hub.pace)
            else:
                self.wfile.write(body)
            self.wfile.flush()
            if fault and fault.hold:
                self.hub.held.set()
                self.hub.stopping.wait(60)
            if fault:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The client has gone, which some tests want.
            self.close_connection = True
