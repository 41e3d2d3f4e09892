"""What a result depends on, gathered from the job that made it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourier_addition.files.manifests import package_versions, read_json, read_manifest, sha256_file
from fourier_addition.files.whole import write_json
from fourier_addition.pipeline.processor import instructions


def provenance(snakemake: Any, *, device: str = "cpu", **more: Any) -> dict[str, Any]:
    """Rule, wildcards, parameters (configuration, seed, code digest), inputs, device, instructions of a job.

    An input that is a manifest is named with the digest of its directory and the weights it came
    from; any other with the SHA-256 of its bytes.
    """
    inputs: dict[str, Any] = {}
    for path in map(str, snakemake.input):
        if Path(path).is_dir():
            # Where results lie in storage, a directory comes with its manifest.
            continue
        manifest = read_json(path) if path.endswith(".json") else None
        if isinstance(manifest, dict) and "manifest" in manifest:
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
        "params": {name: plain(value) for name, value in snakemake.params.items()},
        "inputs": inputs,
        "device": device,
        "instructions": instructions(os.environ),
        **more,
    }


def plain(value: Any) -> Any:
    """A parameter as JSON holds it: mappings, lists, and text in place of anything else."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def directory_of(manifest: str, suffix: str = "") -> str:
    """The directory that a manifest describes: its own path without `.json`, plus `suffix`.

    A manifest may also point elsewhere (a prompted run's checkpoint is the model itself).
    """
    path = Path(manifest)
    if not suffix and path.is_file():
        return os.path.normpath(path.parent / str(read_manifest(path)["directory"]))
    return re.sub(r"\.json$", suffix, str(path))


def point_manifest(path: str | Path, manifest: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write a manifest that describes the directory of another one, without a copy of its files.

    path: the manifest to write. manifest: the other one, whose files' hashes are taken over.
    """
    described = read_manifest(manifest)
    where = Path(os.path.relpath(Path(manifest).parent, Path(path).parent)) / described["directory"]
    facts = {**provenance, "packages": package_versions()}
    write_json({**described, "directory": str(where), "provenance": facts}, path)
