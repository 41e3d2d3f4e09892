"""Money: what may still be spent, with many requests under way at once."""

from __future__ import annotations

import asyncio

from fourier_addition.errors import UserError


class Budget:
    """Lets a request out only when everything under way, at its dearest, stays within the limit.

    limit: None for none. spent: money spent before.
    """

    def __init__(self, limit: float | None, spent: float, currency: str) -> None:
        self.limit, self.spent, self.currency = limit, spent, currency
        self._reserved = 0.0
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def reserve(self, at_most: float) -> None:
        """Wait until a request that costs `at_most` fits. Raises UserError when it never will."""
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
        """Book a request that was reserved with `at_most` at its real cost."""
        async with self._changed:
            self._reserved -= at_most
            self._under_way -= 1
            self.spent += cost
            self._changed.notify_all()
