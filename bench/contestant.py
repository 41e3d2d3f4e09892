"""A contestant of a benchmark: a child process of its own, which answers every line with one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence


class Contestant:
    """A child process that runs one task when told to."""

    def __init__(self, name: str, command: Sequence[str], threads: int) -> None:
        self.name = name
        limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, **limits, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        self.alive = self.answer() is not None

    def answer(self) -> dict | None:
        """The child's next line; None when it died."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def say(self, word: str) -> dict | None:
        """Send a line and wait for the answer."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.answer()

    def last_words(self) -> str:
        """The last line that a dead child wrote."""
        self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.process.returncode}"
