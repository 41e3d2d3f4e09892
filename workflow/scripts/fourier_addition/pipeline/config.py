"""Reading and checking a configuration: every fault is one sentence, before any job starts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from fourier_addition.errors import UserError
from fourier_addition.pipeline.config_checks import (
    check_apis,
    check_models,
    check_pretraining,
    check_prompted,
    check_runs,
    check_tasks,
    check_views,
)
from fourier_addition.pipeline.config_errors import sentence_of
from fourier_addition.pipeline.config_files import LOADER
from fourier_addition.pipeline.config_values import converted
from fourier_addition.pipeline.name_checks import check_names

SHIPPED = Path(__file__).with_name("schema.yaml")
"""The copy of the schema in an installed package; a checkout has none."""
SCHEMA = SHIPPED if SHIPPED.is_file() else Path(__file__).resolve().parents[4] / "config" / "schema.yaml"


@cache
def schema() -> dict[str, Any]:
    """The configuration schema, config/schema.yaml."""
    rules: dict[str, Any] = yaml.load(SCHEMA.read_text(), Loader=LOADER)
    return rules


def _fill_defaults(value: Any, rules: Mapping[str, Any]) -> Any:
    """Defaults of the schema, filled in at every depth, and the schema's keys in the schema's order.

    Snakemake compares parameters as text. So two files that mean the same study must become the same text,
    whatever the order of their keys, and whether or not they state a default.
    """
    if isinstance(value, dict):
        # The schema's keys in its order, then the keys that a user names freely.
        properties = rules.get("properties", {})
        free = {key: item for key, item in value.items() if key not in properties}
        known = {
            key: value[key] if key in value else copy.deepcopy(rule["default"])
            for key, rule in properties.items()
            if key in value or "default" in rule
        }
        value.clear()
        value.update({**known, **free})

        # The same for the values of all keys.
        extra = rules.get("additionalProperties")
        for key, item in value.items():
            rule = properties.get(key, extra if isinstance(extra, dict) else {})
            _fill_defaults(item, rule)
    elif isinstance(value, list) and isinstance(rules.get("items"), dict):
        for item in value:
            _fill_defaults(item, rules["items"])
    return value


def validated(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of a configuration with every default filled in.

    Raises UserError with one sentence that names the key at fault and what is allowed.
    """
    check_names(raw)
    config = converted(copy.deepcopy(dict(raw)), schema())
    error = best_match(Draft202012Validator(schema()).iter_errors(config))
    if error is not None:
        raise UserError(sentence_of(error))
    check_prompted(config)
    _fill_defaults(config, schema())
    check_pretraining(config)
    check_models(config)
    check_tasks(config)
    check_runs(config)
    check_apis(config)
    check_views(config)
    return config
