"""One sentence for each fault of a configuration: the key, and what is allowed there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from fourier_addition.errors import UserError

RENAMED_VALUES = {
    ("norm", "none"): "raw",
    ("norm", "gain"): "folded",
}
"""(Last key, value of an earlier release) -> what the value is called now."""


def _key(path: list[Any]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "the configuration"


def did_you_mean(word: str, allowed: list[str]) -> str:
    """The end of a sentence that offers the closest allowed word; empty where none is close."""
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def sentence_of(error: ValidationError) -> str:
    """One sentence for one schema violation: the key and what is allowed."""
    # Where the value stands, the value, the rule that it breaks, what that rule asks for, and the part of
    # the schema that states the rule.
    path: list[Any] = list(error.absolute_path)
    value: Any = error.instance
    rule, asked, part = error.validator, cast(Any, error.validator_value), cast(Any, error.schema)
    where = f"Config key `{_key(path)}`"
    if rule == "additionalProperties":
        allowed = list(part.get("properties", {}))
        unknown = next(key for key in value if key not in allowed)
        return f"Config key `{_key([*path, unknown])}` is not known; allowed there: {', '.join(allowed)}" + (
            did_you_mean(str(unknown), allowed) or "."
        )

    if rule == "required":
        missing = next(key for key in asked if key not in value)
        return f"Config key `{_key([*path, missing])}` is missing."
    if rule == "enum" and isinstance(value, str) and (path[-1], value) in RENAMED_VALUES:
        return f"{where} is {value!r}, which is called `{RENAMED_VALUES[path[-1], value]}` now."
    if rule == "enum":
        return f"{where} must be one of {', '.join(map(str, asked))}, not {value!r}."
    if rule == "type":
        kind = {"object": "a mapping", "array": "a list", "integer": "a whole number"}.get(
            asked, f"a {asked}"
        )
        return f"{where} must be {kind}, not {value!r}."

    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "greater than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    if rule in limits:
        return f"{where} must be {limits[rule]} {asked}, not {value!r}."
    if rule in ("minItems", "maxItems"):
        bound = "at least" if rule == "minItems" else "at most"
        return f"{where} must have {bound} {asked} entries, not {len(value)}."

    described = part.get("description", error.message)
    if path[-1:] == ["key_variable"]:
        # Not shown: it may be the key itself.
        return f"{where} must be the name of an environment variable in capitals, never a key."
    return f"{where} is {value!r}, which does not fit: {described.rstrip('.')}."


def require_known(name: str, where: str, allowed: Mapping[str, Any], what: str) -> None:
    """Raise UserError unless a name of a task, run, model, ... is among those of the configuration."""
    if name not in allowed:
        names = ", ".join(allowed) or "none"
        raise UserError(
            f"Config key `{where}` names the {what} '{name}', which is not in the configuration; "
            f"there are: {names}" + (did_you_mean(name, list(allowed)) or ".")
        )
