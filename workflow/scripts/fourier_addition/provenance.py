"""What a result depends on, gathered from the job that made it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourier_addition.storage import read_manifest, sha256_file


def provenance(snakemake: Any, *, device: str = "cpu", **more: Any) -> dict[str, Any]:
    """Rule, wildcards, parameters (configuration, seed, code digest), inputs and device of a job.

    An input that is a manifest is named with the digest of its directory and the weights it came
    from; any other with the SHA-256 of its bytes.
    """
    inputs: dict[str, Any] = {}
    for path in map(str, snakemake.input):
        if path.endswith(".json"):
            manifest = read_manifest(path)
            inputs[path] = {"digest": manifest["digest"]}
            weights = manifest["provenance"].get("weights_sha256")
            if weights:
                inputs[path]["weights_sha256"] = weights
        else:
            inputs[path] = {"sha256": sha256_file(path)}
    return {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "params": {name: _plain(value) for name, value in snakemake.params.items()},
        "inputs": inputs,
        "device": device,
        **more,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def directory_of(manifest: str, suffix: str = "") -> str:
    """The directory that a manifest describes: its own path without `.json`, plus `suffix`."""
    return re.sub(r"\.json$", suffix, str(Path(manifest)))
