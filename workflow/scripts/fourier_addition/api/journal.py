"""Every response is on disk the moment it arrives: no answer is lost, and none is paid twice.

A journal is a file of JSON lines, each an event of one request. Before a request goes out, a line `sent`
records the most that the request can cost. A line `response` with the whole answer follows, or a line
`unbilled` when the server refused the request. Where nothing follows `sent`, the fate of the request is
unknown (time-out, broken connection, killed job), and the most that it can cost counts as spent. Each
line is forced to disk before anything else happens. One process at a time writes. A half-written last
line is dropped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from fourier_addition.errors import UserError

logger = logging.getLogger("fourier_addition.api")


def journal_path(folder: str | Path, base_url: str, model: str) -> Path:
    """The journal of one model at one address; what a configuration calls the two does not matter."""
    url = base_url.rstrip("/")
    label = re.sub(r"[^a-z0-9.]+", "-", f"{urlsplit(url).hostname} {model}".lower()).strip("-")
    return Path(folder) / f"{label}-{hashlib.sha256(f'{url} {model}'.encode()).hexdigest()[:8]}.jsonl"


class Journal:
    """Responses of one model by request digest, and the money spent on them.

    answers: digest -> the `response` line (request, response, prompt_tokens, completion_tokens, cost,
    received). lost: number of requests whose fate is unknown. Reading takes no lock. To write, open the
    journal as a context (`with journal:`), which waits for any other writer and reads the file again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: BinaryIO | None = None
        self._read()

    def _read(self) -> int:
        """Read all events of the file; returns the length of its complete lines in bytes."""
        self.answers: dict[str, dict[str, Any]] = {}
        self.lost = 0
        # Money of requests whose cost is known, and the most that each request without an answer can cost.
        self._settled = 0.0
        self._open: dict[str, float] = {}

        content = self.path.read_bytes() if self.path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{self.path}, line {number} is not a line of a response journal; delete that line."
                ) from None
        return len(whole)

    def _take(self, line: Mapping[str, Any]) -> None:
        """Count one event. Raises KeyError, TypeError or ValueError for a line that is none."""
        event, digest = line["event"], line["digest"]
        if event == "sent":
            self._give_up(digest)
            self._open[digest] = float(line["at_most"])
            return
        self._open.pop(digest, None)
        if event == "response":
            self._settled += float(line["cost"])
            self.answers.setdefault(digest, dict(line))

    def _give_up(self, digest: str) -> None:
        """Count a request without an answer as lost, and the most that it can cost as spent."""
        if digest in self._open:
            self._settled += self._open.pop(digest)
            self.lost += 1

    @property
    def spent(self) -> float:
        """Money spent, including the most that requests of unknown fate can have cost."""
        return self._settled + sum(self._open.values())

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}.") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("waiting for another job that writes %s", self.path)
            fcntl.flock(self._file, fcntl.LOCK_EX)

        # Another writer may have added lines since the journal was read, or died while it wrote one.
        whole = self._read()
        if self.path.stat().st_size > whole:
            logger.warning("%s: dropped a half-written last line", self.path)
            self._file.truncate(whole)

        # The directory entry of a new journal must be as durable as its lines.
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

        # What a killed job left open will never be answered.
        for digest in list(self._open):
            self._give_up(digest)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def sent(self, digest: str, at_most: float) -> None:
        """Record that a request goes out that can cost `at_most`."""
        self._append({"event": "sent", "digest": digest, "at_most": at_most, "time": _now()})

    def unbilled(self, digest: str, why: str) -> None:
        """Record that the server refused a request, so that it cost nothing."""
        self._append({"event": "unbilled", "digest": digest, "why": why})

    def unknown(self, digest: str) -> None:
        """Count a request as lost: no answer came, and it may have been paid. Nothing is written."""
        self._give_up(digest)

    def response(
        self,
        digest: str,
        request: Mapping[str, Any],
        response: Mapping[str, Any],
        *,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        cost: float,
    ) -> None:
        """Keep a response for ever.

        request: URL and body of the request, for whoever reads the journal later. prompt_tokens,
        completion_tokens: the server's counts, None where it gives none. cost: of the request.
        """
        self._append(
            {
                "event": "response",
                "digest": digest,
                "received": _now(),
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "cost": cost,
                "request": dict(request),
                "response": dict(response),
            }
        )

    def _append(self, line: dict[str, Any]) -> None:
        if self._file is None:
            raise RuntimeError("the journal is open for reading only")
        start = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            # Later lines must not be glued to half of this one.
            os.ftruncate(self._file.fileno(), start)
            raise UserError(f"{self.path} cannot be written: {error.strerror}.") from None
        self._take(line)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
