"""Values of every key of the configuration, shared by the fuzz at validation, at the dry run and in jobs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import yaml
from fourier_addition.errors import UserError
from fourier_addition.pipeline.config import schema, validated
from fourier_addition.pipeline.figures import views
from study import ROOT

ODD: list[Any] = [
    *(float("nan"), float("inf"), -float("inf"), -0.0, 1e308, 2.0, 0.5, -1, 0, 10**30, True, None),
    *("1e-5", "text", "", "0x10", "1_000", "../x"),
    *([], {}, [float("nan")], [1, 2, 3], {"a": 1}, [[]]),
]
"""Values of every kind, of which at most a few fit any key."""
BY_NAME = ("models", "runs", "tasks", "figures", "tables", "apis", "api_runs", "embeddings", "pretraining")

Path = tuple[Any, ...]


def whole_configuration(*, apis: bool = True) -> dict[str, Any]:
    """The smallest study of the tests with every section, and every default written out."""
    config = yaml.safe_load((ROOT / "tests/configs/micro.yaml").read_text())
    if apis:
        config["apis"] = {"server": {"base_url": "http://127.0.0.1:1/v1", "model": "m"}}
        config["api_runs"] = {"asked": {"api": "server", "task": next(iter(config["tasks"]))}}
    config["embeddings"] = {"mini": {"numbers": 17}}
    return validated(config)


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of every value inside a configuration; of a list, of its first entry."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from _places(value[0], (*path, 0))


def keys_of(whole: dict[str, Any]) -> list[Path]:
    """One path of every key, whatever the names of runs, figures and the like are."""
    found = {
        tuple("*" if depth == 1 and path[0] in BY_NAME else key for depth, key in enumerate(path)): path
        for path in _places(whole)
    }
    return list(found.values())


def at(config: Any, path: Path) -> Any:
    """The value of a path."""
    for key in path:
        config = config[key]
    return config


def changed(whole: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with another value at a path."""
    config = copy.deepcopy(whole)
    at(config, path[:-1])[path[-1]] = copy.deepcopy(value)
    return config


def _rule(path: Path) -> dict[str, Any]:
    """What the schema says of a path."""
    rule = schema()
    for key in path:
        if isinstance(key, int):
            rule = rule.get("items", {})
        else:
            rule = rule.get("properties", {}).get(key) or rule.get("additionalProperties") or {}
        if not isinstance(rule, dict):
            return {}
    return rule


def candidates(whole: dict[str, Any], path: Path) -> list[Any]:
    """Values for a key that the schema may allow: its choices, neighbours of its value, and odd ones."""
    now, rule = at(whole, path), _rule(path)
    choices = [choice for part in (rule, *rule.get("anyOf", ())) for choice in part.get("enum", ())]
    near: list[Any] = []
    if isinstance(now, bool):
        near = [not now]
    elif isinstance(now, int):
        near = [now + 1, now - 1, 1, 2, 3, 7]
    elif isinstance(now, float):
        near = [now / 2, now * 2, 1.0, 0.25, 1]
    elif isinstance(now, list):
        near = [now[:1], now[::-1], now + now[:1]]
    elif isinstance(now, str):
        near = [f"{now} {now}", "a_b", "x" * 90]
    return [*choices, *near, *ODD]


def accepted(whole: dict[str, Any], path: Path) -> list[tuple[Any, dict[str, Any]]]:
    """Values of a key that validation takes and that change something, each with the whole configuration."""
    found: list[tuple[Any, dict[str, Any]]] = []
    for value in candidates(whole, path):
        try:
            config = validated(changed(whole, path, value))
            views(config)
        except UserError:
            continue
        if config != whole and all(config != other for _, other in found):
            found.append((value, config))
    return found
