"""What all kinds of sources share: the failure after which the next source is tried, and their result."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard


class Unreachable(Exception):
    """This machine cannot get the weights from a source at present; the next source is tried.

    reason: a clause without a full stop, for the message. network: nothing on the network answered.
    remote: the source is on another machine.
    """

    def __init__(self, reason: str, *, network: bool = False, remote: bool = True) -> None:
        super().__init__(reason.rstrip("."))
        self.network = network
        self.remote = remote


@dataclass
class Obtained:
    """The files of a model that a source has brought to this machine.

    files: name in the model's directory -> where the file lies now. details: further facts for the
    provenance. link: whether the files may be hard-linked, as nobody edits them in place.
    """

    files: dict[str, Path]
    details: dict[str, Any] = field(default_factory=dict)
    link: bool = False


def is_sha256(value: Any) -> TypeGuard[str]:
    """Whether `value` is a SHA-256 written as 64 hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{64}", value) is not None
