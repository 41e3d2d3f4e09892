"""Values as YAML and the command line write them, made what the schema says they are.

YAML 1.1 reads `1e-5` as text and `2.0` as a fraction, and Snakemake hands over text where `--config` nests
values. Each is taken as the number that it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fourier_addition.errors import UserError

_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")
LARGEST = 2**53
"""Whole numbers beyond this are not exact as fractions, and stand for nothing here."""


def converted(value: Any, rules: Mapping[str, Any], where: str = "") -> Any:
    """A copy of a value of a configuration with its numbers as the schema's rules want them.

    where: the value's key, for sentences. Raises UserError for a number that is not finite.
    """
    if isinstance(value, Mapping):
        return {
            key: converted(item, _rules_of_key(rules, key), f"{where}.{key}" if where else str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = _either([each["items"] for each in _alternatives(rules) if "items" in each])
        return [converted(item, items, f"{where}[{place}]") for place, item in enumerate(value)]
    return _scalar(value, rules, where)


def _alternatives(rules: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rules themselves, and each of those that they leave the choice of."""
    yield rules
    for inner in (*rules.get("anyOf", ()), *rules.get("oneOf", ())):
        yield from _alternatives(inner)


def _either(found: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Rules that allow what any of several allow; without any, everything is allowed."""
    return found[0] if len(found) == 1 else {"anyOf": found}


def _rules_of_key(rules: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The rules of an entry of a mapping: those of its key, or else those of every other key."""
    found = []
    for each in _alternatives(rules):
        inner = each.get("properties", {}).get(key, each.get("additionalProperties"))
        if isinstance(inner, Mapping):
            found.append(inner)
    return _either(found)


def _scalar(value: Any, rules: Mapping[str, Any], where: str) -> Any:
    kinds = _kinds(rules)
    if isinstance(value, str) and value not in _words(rules) and "string" not in kinds:
        if kinds & {"integer", "number"} and _NUMBER.fullmatch(value.strip()):
            value = float(value.replace("_", ""))
        elif "boolean" in kinds and value.lower() in ("true", "false"):
            return value.lower() == "true"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"Config key `{where}` is {value}, which is no finite number.")
        if "integer" in kinds and value.is_integer():
            if abs(value) > LARGEST:
                raise UserError(f"Config key `{where}` is {value:g}, too large for a whole number.")
            return int(value)
    return value


def _kinds(rules: Mapping[str, Any]) -> set[str]:
    """Types that the rules allow, those of alternatives included."""
    types = [each.get("type", []) for each in _alternatives(rules)]
    return {kind for own in types for kind in ([own] if isinstance(own, str) else own)}


def _words(rules: Mapping[str, Any]) -> set[str]:
    """Words that the rules allow as they stand."""
    allowed = [(*each.get("enum", ()), each.get("const")) for each in _alternatives(rules)]
    return {word for words in allowed for word in words if isinstance(word, str)}
