"""The progress of a transfer: a bar on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    _Meter = tqdm[Any]
else:
    _Meter = tqdm

SECONDS_BETWEEN_LINES = 30.0

logger = logging.getLogger(__name__)


class Bar(_Meter):
    """A bar that vanishes when it is done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "leave": False})


class Lines(_Meter):
    """A bar that writes a log line every SECONDS_BETWEEN_LINES and one at the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The carriage returns of tqdm would fill a log file.
        super().__init__(*args, **{**kwargs, "file": io.StringIO(), "leave": True})
        self.last_line = time.monotonic()

    # The stubs of tqdm say that `display` returns nothing; tqdm itself returns and reads a bool.
    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # type: ignore[override]
        if time.monotonic() - getattr(self, "last_line", time.monotonic()) >= SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            logger.info("%s", self.line())
        return True

    def line(self) -> str:
        """How far the transfer is, for example `model.safetensors: 12 of 90 MB`."""
        scale, unit = (1e6, "MB") if self.unit == "B" else (1, self.unit)
        total = f" of {self.total / scale:.0f}" if self.total else ""
        return f"{self.desc or 'transfer'}: {self.n / scale:.0f}{total} {unit}"

    def close(self) -> None:
        if not self.disable and self.n:
            logger.info("%s", self.line())
        super().close()


class Silent(_Meter):
    """A bar that shows nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})


def meter(progress: bool) -> type[_Meter]:
    """The class that shows a transfer: `Silent` unless `progress`, `Bar` on a terminal, `Lines` elsewhere."""
    if not progress:
        return Silent
    return Bar if sys.stderr.isatty() else Lines
