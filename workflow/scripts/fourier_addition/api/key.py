"""The secret of an API, which is read from the environment when it is needed and kept nowhere."""

from __future__ import annotations

import os

from fourier_addition.errors import UserError


def key_from_environment(variable: str | None) -> str | None:
    """The key that the environment variable holds; None where no variable is named.

    Raises UserError, which names the variable, when it is not set or holds nothing that can be a key.
    """
    if variable is None:
        return None
    key = os.environ.get(variable)
    if key is None:
        raise UserError(f"The environment variable {variable} is not set; `key_variable` names it.")
    # The HTTP library would quote a faulty header in its error, and the key with it.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"The environment variable {variable} holds no usable key: it is empty or has white space or "
            "special characters in it."
        )
    return key
