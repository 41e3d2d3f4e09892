"""Tokens and money of a request: estimated from its text, and counted by the server afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# The server's tokenizer is not known here. For the estimate: English with numbers takes three to four bytes
# a token, and a chat template takes a few tokens a message.
BYTES_A_TOKEN = 3
TOKENS_A_MESSAGE = 4
# For the upper bound: no tokenizer makes more tokens than bytes, and no common template adds more than this.
LARGEST_TEMPLATE = 64
LIMITS = ("max_completion_tokens", "max_tokens")
"""Fields of a body that limit the tokens of its reply; the first that is there holds."""


@dataclass(frozen=True)
class Prices:
    """Prices in `currency` for a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0
    currency: str = "USD"

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of so many tokens, in `currency`."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    if "prompt" in body:
        yield body["prompt"]
    for message in body.get("messages", ()):
        yield message["content"]


def token_limit(body: Mapping[str, Any]) -> int:
    """Most tokens that a reply may have; 0 where the body sets no limit."""
    return next((body[key] for key in LIMITS if key in body), 0)


def estimated_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Likely tokens of the prompt, and tokens of a reply of full length."""
    texts = list(_texts(body))
    messages = TOKENS_A_MESSAGE * len(texts) if "messages" in body else 0
    prompt = sum(math.ceil(len(text.encode()) / BYTES_A_TOKEN) for text in texts)
    return prompt + messages, token_limit(body)


def largest_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Most tokens that the prompt and the reply can take; the budget counts with these."""
    return sum(len(text.encode()) for text in _texts(body)) + LARGEST_TEMPLATE, token_limit(body)


def counted_tokens(response: Mapping[str, Any]) -> tuple[int, int] | None:
    """Tokens of the prompt and of the reply, as the response's `usage` has them; None without one."""
    usage = response.get("usage")
    if not isinstance(usage, Mapping) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    return usage["prompt_tokens"], int(usage.get("completion_tokens") or 0)
