"""The money that may still be spent, with many requests under way at once."""

from __future__ import annotations

import asyncio

from fourier_addition.errors import UserError


class Budget:
    """Lets a request out only when the limit holds even if all requests under way cost their most.

    limit: the most that may be spent; None sets no limit. spent: money spent before. currency: for
    messages. Every request calls `reserve` before it is sent, and `settle` when its cost is known.
    """

    def __init__(self, limit: float | None, spent: float, currency: str) -> None:
        self.limit, self.spent, self.currency = limit, spent, currency
        self._reserved = 0.0
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def reserve(self, at_most: float) -> None:
        """Wait until a request that can cost `at_most` fits into the limit, and keep that much for it.

        Raises UserError when the request can never fit: nothing is under way that could cost less than
        was kept for it.
        """
        async with self._changed:
            while self.limit is not None and self.spent + self._reserved + at_most > self.limit:
                if not self._under_way:
                    raise UserError(
                        f"The next request can cost {at_most:.6f} {self.currency}, but of the budget of "
                        f"{self.limit:g} {self.currency} {self.spent:.6f} are spent: raise `budget` to go on."
                    )
                await self._changed.wait()
            self._reserved += at_most
            self._under_way += 1

    async def settle(self, at_most: float, cost: float) -> None:
        """Count the real cost of a request for which `at_most` was kept."""
        async with self._changed:
            self._reserved -= at_most
            self._under_way -= 1
            self.spent += cost
            self._changed.notify_all()
