"""A digest of the code that a script can reach, so that Snakemake reruns what a change touches.

Snakemake sees the script's own bytes and nothing that it imports. This digest is a SHA-256
over the syntax trees of the script and of every local module that it imports, directly or
not, with docstrings and the words of error sentences blanked and positions dropped: comments,
docstrings, formatting and a reworded refusal change nothing, an edit in one library module reruns
exactly the rules that reach it.

A package's `__init__` that only passes on names of its modules is seen through: who takes one name
depends on the module that defines it, not on the package's other modules. So modules must not act
on others by being imported.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fourier_addition.errors import UserError
from fourier_addition.pipeline.source_facts import source_facts

SCRIPTS = Path(__file__).resolve().parents[2]
NO_RESULT = (
    "fourier_addition/files/checks.py",
    "fourier_addition/pipeline/job.py",
    "fourier_addition/pipeline/mock.py",
    "fourier_addition/pipeline/snakemake_private.py",
)
"""Checks, which only refuse, the log, scripts run by hand, and parts of Snakemake: no number can depend on
them, so an edit of these files reruns nothing."""
PUBLIC_NAMES = SCRIPTS / "fourier_addition/library/names.py"
"""Loads the public names when a user asks for one. No job does, so nothing is reached through this file."""


@cache
def _module_files(name: str, root: Path) -> tuple[Path, ...]:
    """Files that importing `name` executes below `root`: packages' __init__ and the module."""
    parts = name.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        if (base / "__init__.py").is_file():
            files.append(base / "__init__.py")
        elif base.with_suffix(".py").is_file():
            files.append(base.with_suffix(".py"))
    return tuple(files)


def _passed_on(file: Path) -> dict[str, str] | None:
    """Names that an `__init__` passes on -> the module each comes from; None when it does anything else."""
    return source_facts(file).passed_on if file.name == "__init__.py" else None


@cache
def _needed_files(module: str, name: str | None, root: Path) -> frozenset[Path]:
    """Files that decide what `name` of `module` is, or the whole module where `name` is None."""
    files = _module_files(module, root)
    found = frozenset(file for file in files[:-1] if _passed_on(file) is None)
    if not files:
        return found
    last = files[-1]
    whole = _module_files(f"{module}.{name}", root) if name else files
    if whole != files:
        return found | ({last} if _passed_on(last) is None else set()) | {whole[-1]}
    names = _passed_on(last)
    if name is None or names is None or name not in names:
        return found | {last}
    source, original = names[name].split()
    return found | _needed_files(source, original, root)


@cache
def local_imports(path: Path, root: Path = SCRIPTS, *, needed: bool = False) -> tuple[Path, ...]:
    """Local files that a Python file imports directly, anywhere in it.

    needed: leave out what a package's `__init__` loads for others.
    Raises UserError for a relative or dynamic import, which cannot be followed.
    """
    if path == PUBLIC_NAMES:
        return ()
    facts = source_facts(path)
    if facts.hidden:
        line, how = facts.hidden
        raise UserError(f"{path}, line {line}: {how} imports hide code from the digest.")
    found: set[Path] = set()
    for module, name in facts.imports:
        found |= _needed_files(module, name, root)
        if not needed:
            found.update(_module_files(f"{module}.{name}" if name else module, root))
    return tuple(sorted(found - {path}))


def reachable(path: Path, root: Path = SCRIPTS, *, needed: bool = False) -> list[Path]:
    """The file and every local file it imports, directly or not, sorted.

    needed: only what its results can depend on: without the files of NO_RESULT, and without what
    these alone, or a package's `__init__` for others, import.
    """
    todo, seen = [path.resolve()], set()
    while todo:
        current = todo.pop()
        if current not in seen and not (needed and str(current.relative_to(root)) in NO_RESULT):
            seen.add(current)
            todo.extend(local_imports(current, root, needed=needed))
    return sorted(seen)


@cache
def module_digests(script: str, root: Path = SCRIPTS) -> dict[str, str]:
    """Digest of each local file that `workflow/scripts/{script}` reaches: path below `root` -> digest.

    Only files that its results can depend on, sorted.
    """
    files = reachable((root / script).resolve(), root, needed=True)
    return {str(file.relative_to(root)): source_facts(file).digest for file in files}


@cache
def code_digest(script: str, root: Path = SCRIPTS) -> str:
    """Digest of `workflow/scripts/{script}` and all local code that it reaches (16 hex digits)."""
    combined = hashlib.sha256()
    for name, digest in module_digests(script, root).items():
        combined.update(name.encode())
        combined.update(digest.encode())
    return combined.hexdigest()[:16]
