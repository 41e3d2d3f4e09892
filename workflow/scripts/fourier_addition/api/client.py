"""Sends requests to an OpenAI-compatible API, so that no answer is lost and none is paid twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import signal
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from fourier_addition.api.backoff import asked_wait, back_off
from fourier_addition.api.budget import Budget
from fourier_addition.api.journal import Journal
from fourier_addition.api.pricing import Prices, counted_tokens, largest_tokens
from fourier_addition.api.request import MalformedResponse, Request, reply_of
from fourier_addition.errors import UserError

logger = logging.getLogger("fourier_addition.api")

RETRIED = (408, 429)
"""Client errors (4xx) that may pass with time. Every server error (5xx) may."""
NEVER_PASSES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""Error codes that come with status 429 and do not pass however long one waits."""


@dataclass(frozen=True)
class Transport:
    """How requests are sent.

    concurrency: requests under way at once. timeout: seconds for one request, from connecting to the last
    byte. retries: further attempts after a failure that may pass. backoff: seconds before the first
    further attempt, doubled before each next one. longest_wait: seconds of the longest wait; a server
    that asks for a longer one ends the job.
    """

    concurrency: int = 4
    timeout: float = 60.0
    retries: int = 6
    backoff: float = 1.0
    longest_wait: float = 600.0


@dataclass
class Tally:
    """What a call of `query` did.

    answered: answers received. retried: attempts repeated. lost: answers that may have been paid and
    never arrived.
    """

    answered: int = 0
    retried: int = 0
    lost: int = 0


class _Passing(Exception):
    """A failure that may pass with time. wait: seconds that the server asks for."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


def query(
    requests: Iterable[Request],
    journal: Journal,
    *,
    key: str | None = None,
    key_variable: str | None = None,
    prices: Prices | None = None,
    budget: float | None = None,
    transport: Transport | None = None,
) -> Tally:
    """Send every request that the journal has no answer to; each answer goes to the journal at once.

    requests: equal ones are sent once. journal: opened for writing. key: the secret sent as a bearer
    token, from `key_from_environment`; the key is never written, logged or shown, and where a server
    repeats the key, it is blanked. key_variable: name of the key's environment variable, for messages.
    prices: of tokens; free where left out. budget: limit on all money that the journal ever spent.

    Raises UserError when the server refuses (401, 403, 404, any other 4xx, a redirect), when a request
    fails more often than `retries` allows, when the budget is reached, and on SIGINT and SIGTERM. Before
    raising, it waits for the requests under way and keeps their answers: calling again sends the rest.
    """
    todo = {request.digest: request for request in requests if request.digest not in journal.answers}
    urls = {request.url for request in todo.values()}
    for host in {urlsplit(url).hostname for url in urls if key and _in_the_clear(url)}:
        logger.warning("the key in %s goes to %s without encryption: http, not https", key_variable, host)
    sender = _Sender(
        deque(todo.values()),
        journal,
        key,
        key_variable,
        prices or Prices(),
        budget,
        transport or Transport(),
    )
    asyncio.run(sender.run())
    return sender.tally


def _in_the_clear(url: str) -> bool:
    """Whether a request to the URL crosses a network without encryption."""
    address = urlsplit(url)
    return address.scheme == "http" and address.hostname not in ("localhost", "127.0.0.1", "::1")


class _Sender:
    """One call of `query`: workers that take requests from a queue until it is empty or one fails."""

    def __init__(
        self,
        todo: deque[Request],
        journal: Journal,
        key: str | None,
        key_variable: str | None,
        prices: Prices,
        budget: float | None,
        transport: Transport,
    ) -> None:
        self.todo, self.total, self.journal = todo, len(todo), journal
        self.key, self.key_variable = key, key_variable
        self.prices, self.limit, self.transport = prices, budget, transport
        self.tally = Tally()
        # The first failure, which ends the call.
        self.failure: BaseException | None = None
        # Moment before which nothing is sent, as the server asked; and the moment of the last log line.
        self.resume_at = 0.0
        self.said = time.monotonic()

    async def run(self) -> None:
        """Get an answer to every request, or raise the first failure once nothing is under way any more."""
        self.budget = Budget(self.limit, self.journal.spent, self.prices.currency)
        self.stopping = asyncio.Event()
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limit = httpx2.Limits(max_connections=self.transport.concurrency)
        with self._stopped_by_signals():
            async with httpx2.AsyncClient(
                headers=headers, timeout=self.transport.timeout, limits=limit, follow_redirects=False
            ) as self.client:
                workers = min(self.transport.concurrency, self.total)
                await asyncio.gather(*(self._work() for _ in range(workers)))

        # Every worker has ended: say what was kept.
        if isinstance(self.failure, UserError):
            kept = f"{self.tally.answered} of {self.total} requests were answered and are kept"
            raise UserError(f"{str(self.failure).rstrip('.')}; {kept}, a further run sends the others.")
        if self.failure is not None:
            raise self.failure

    @contextlib.contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM end the call as a failure does: answers under way are kept."""
        loop, caught = asyncio.get_running_loop(), []
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread can handle signals; in another thread they keep their meaning.
            with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
                loop.add_signal_handler(number, self._fail, UserError(f"Stopped by {number.name}."))
                caught.append(number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def _fail(self, error: BaseException) -> None:
        """Let no worker begin anything new."""
        self.failure = self.failure or error
        self.stopping.set()

    async def _work(self) -> None:
        while self.todo and not self.stopping.is_set():
            try:
                await self._answer(self.todo.popleft())
            except Exception as error:
                self._fail(error)

    async def _answer(self, request: Request) -> None:
        """Attempt a request until its answer is there. Raises UserError after the last attempt."""
        for attempt in range(self.transport.retries + 1):
            await self._wait_until(self.resume_at)

            # The budget may make the request wait, and a failure may come meanwhile.
            at_most = self.prices.cost(*largest_tokens(request.body))
            await self.budget.reserve(at_most)
            if self.stopping.is_set():
                return await self.budget.settle(at_most, 0.0)

            try:
                return await self._attempt(request, at_most)
            except _Passing as failure:
                logger.info("request %s, attempt %d: %s", request.digest[:8], attempt + 1, failure)
                if attempt == self.transport.retries:
                    raise UserError(f"{request.url} failed {attempt + 1} times, last: {failure}.") from None
                if failure.wait is not None and failure.wait > self.transport.longest_wait:
                    raise UserError(
                        f"{request.url} asks to wait {failure.wait:.0f} s, longer than `longest_wait` "
                        f"({self.transport.longest_wait:g} s)."
                    ) from None
                self.tally.retried += 1
                await self._pause(attempt, failure.wait)
        return None

    async def _pause(self, attempt: int, asked: float | None) -> None:
        """Wait after a failed attempt, `asked` seconds where the server asked for a wait."""
        wait = back_off(attempt, self.transport.backoff, self.transport.longest_wait)
        if not asked:
            return await self._wait_until(time.monotonic() + wait)
        # A limit holds for the key, not for one request: all workers wait, and start again one by one.
        self.resume_at = max(self.resume_at, time.monotonic() + asked)
        return await self._wait_until(self.resume_at + random.random() * self.transport.backoff)

    async def _wait_until(self, moment: float) -> None:
        """Wait until `moment` and until the server lets requests through again, or until a failure."""
        while (left := max(moment, self.resume_at) - time.monotonic()) > 0 and not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), left)

    async def _attempt(self, request: Request, at_most: float) -> None:
        """Send a request once and keep its answer. Raises _Passing or UserError.

        at_most: what the budget keeps for the request. The journal hears of the request before it goes
        out and of its fate afterwards, and the budget of its cost in every case.
        """
        cost = 0.0
        try:
            self.journal.sent(request.digest, at_most)
            cost = at_most
            answer = await self._post(request)

            # A refusal costs nothing.
            if not answer.is_success:
                cost = 0.0
                self.journal.unbilled(request.digest, f"HTTP {answer.status_code}")
                raise self._refusal(request, answer)

            # An answer costs what the server counted, or its most where the server counts nothing.
            response = self._response(answer)
            counted = counted_tokens(response)
            cost = at_most if counted is None else self.prices.cost(*counted)
            prompt_tokens, completion_tokens = counted or (None, None)
            self.journal.response(
                request.digest,
                {"url": request.url, "body": request.body},
                response,
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                cost=cost,
            )
        except httpx2.ConnectError as error:
            # Without a connection nothing was sent.
            cost = 0.0
            self.journal.unbilled(request.digest, "no connection")
            self._refuse_bad_certificate(request, error)
            raise _Passing("no connection") from None
        except (TimeoutError, httpx2.TransportError, httpx2.DecodingError, MalformedResponse) as error:
            # The server may have answered, and may charge for it.
            self.journal.unknown(request.digest)
            self.tally.lost += 1
            raise _Passing(self._why(error)) from None
        finally:
            await self.budget.settle(at_most, cost)

        self.tally.answered += 1
        if time.monotonic() - self.said > 10 or self.tally.answered == self.total:
            self.said = time.monotonic()
            logger.info(
                "%d of %d answered, %.6f %s spent",
                self.tally.answered,
                self.total,
                self.budget.spent,
                self.prices.currency,
            )

    async def _post(self, request: Request) -> httpx2.Response:
        async with asyncio.timeout(self.transport.timeout):
            return await self.client.post(request.url, json=dict(request.body))

    def _why(self, error: Exception) -> str:
        if isinstance(error, MalformedResponse):
            return str(error)
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            return f"no answer within {self.transport.timeout:g} s"
        return f"the connection broke ({type(error).__name__})"

    def _refuse_bad_certificate(self, request: Request, error: Exception) -> None:
        """Raise UserError where the connection failed over the server's certificate: that does not pass."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise UserError(f"{request.url} shows a certificate that cannot be trusted.") from None
            cause = cause.__cause__ or cause.__context__

    def _clean(self, text: str) -> str:
        """A server's text without the key in it."""
        return text.replace(self.key, "[key]") if self.key else text

    def _response(self, answer: httpx2.Response) -> dict[str, Any]:
        """The body of a successful response. Raises MalformedResponse where it holds no reply."""
        try:
            response: dict[str, Any] = json.loads(self._clean(answer.text))
        except ValueError:
            raise MalformedResponse("the response is not valid JSON") from None
        reply_of(response)
        return response

    def _refusal(self, request: Request, answer: httpx2.Response) -> Exception:
        """What an unsuccessful response is: _Passing, or a UserError that says why it was refused."""
        status, (code, said) = answer.status_code, self._error_of(answer)
        passing = (status in RETRIED and code not in NEVER_PASSES) or status >= 500
        if passing:
            return _Passing(f"HTTP {status}{said}", asked_wait(answer.headers))
        if status in (401, 403):
            # Servers quote keys, or parts of keys: nothing of their text is repeated here.
            sent = f"the key in {self.key_variable}" if self.key else "a request without a key"
            return UserError(f"{request.url} refuses {sent} (HTTP {status}).")
        if status == 404:
            model = request.body.get("model")
            return UserError(f"{request.url} is not there, or has no model '{model}' (HTTP 404){said}.")
        return UserError(f"{request.url} refuses the request (HTTP {status}){said}.")

    def _error_of(self, answer: httpx2.Response) -> tuple[str | None, str]:
        """Code and message of an unsuccessful response, in OpenAI's form or another.

        The message begins with a colon and is cut short; it is empty where there is none.
        """
        try:
            body = json.loads(self._clean(answer.text))
        except ValueError:
            return None, ""
        error = body.get("error", body) if isinstance(body, dict) else {}
        if not isinstance(error, dict):
            error = {"message": error}
        message = error.get("message") or error.get("detail") or ""
        text = " ".join(str(message).split())[:200].rstrip(".")
        return error.get("code"), f": {text}" if text else ""
