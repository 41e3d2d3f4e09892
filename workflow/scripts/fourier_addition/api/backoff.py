"""How long to wait before a request is sent again."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Mapping


def back_off(attempt: int, first: float, longest: float, random_share: float | None = None) -> float:
    """Seconds to wait after a failed attempt, so that many clients do not come back at the same moment.

    attempt: number of the failed attempt, from 0. first: seconds after the first failure. longest: upper
    limit. The wait is between half of min(first * 2^attempt, longest) and all of it. random_share: where
    in between, from 0 to 1; drawn where it is None.
    """
    share = random.random() if random_share is None else random_share
    # The exponent is capped because a float overflows long before a patient user's retries do.
    return float(min(first * 2 ** min(attempt, 64), longest) * (1 + share) / 2)


def asked_wait(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait, or None where it asks for nothing that can be read.

    headers: of the response. `Retry-After` gives seconds or an HTTP date. `retry-after-ms`, which some
    servers send too, is finer and is read first. now: seconds since 1970, the present where it is None.
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
