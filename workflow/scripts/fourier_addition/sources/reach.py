"""What the kinds of sources share: the failure that passes the turn, and what they hand over."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Unreachable(Exception):
    """A source that cannot be had here and now; the next one may.

    reason: a clause without a full stop.
    network: the reason is that nothing answered. remote: the source is not on this machine.
    """

    def __init__(self, reason: str, *, network: bool = False, remote: bool = True) -> None:
        super().__init__(reason.rstrip("."))
        self.network = network
        self.remote = remote


@dataclass
class Obtained:
    """Files that a source has brought to this machine.

    files: name in the model's directory -> where it lies now. details: for the provenance.
    link: the files may be hard-linked, as nobody edits them in place.
    """

    files: dict[str, Path]
    details: dict[str, Any] = field(default_factory=dict)
    link: bool = False


def is_sha256(value: Any) -> bool:
    """Whether `value` is a SHA-256 written as 64 hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{64}", value) is not None
