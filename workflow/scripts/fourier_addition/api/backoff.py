"""How long to wait before a request is sent again."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Mapping


def back_off(attempt: int, first: float, longest: float, random_share: float | None = None) -> float:
    """Seconds before attempt `attempt` + 1 (from 0): exponential, with jitter so that clients spread.

    first: seconds after the first failure; longest: upper limit. The wait is between half of
    min(first * 2^attempt, longest) and all of it; random_share in [0, 1] is drawn where it is None.
    """
    share = random.random() if random_share is None else random_share
    # The exponent is capped because a float overflows long before a patient user's retries do.
    return min(first * 2 ** min(attempt, 64), longest) * (1 + share) / 2


def asked_wait(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait: `Retry-After` in seconds or as an HTTP date, or None.

    `retry-after-ms`, which some servers send too, is finer and goes first. now: seconds since 1970.
    """
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            try:
                moment = email.utils.parsedate_to_datetime(text).timestamp()
            except ValueError:
                continue
            seconds = moment - (time.time() if now is None else now)
        if not math.isnan(seconds):
            return max(0.0, seconds)
    return None
