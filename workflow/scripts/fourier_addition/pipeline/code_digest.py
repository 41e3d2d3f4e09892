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

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError

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
DYNAMIC = (
    "__import__",
    "exec",
    "eval",
    "import_module",
    "reload",
    "run_module",
    "run_path",
    "spec_from_file_location",
)
"""Ways of running code that no import statement names."""


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def _module_files(name: str, root: Path) -> list[Path]:
    """Files that importing `name` executes below `root`: packages' __init__ and the module."""
    parts = name.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        if (base / "__init__.py").is_file():
            files.append(base / "__init__.py")
        elif base.with_suffix(".py").is_file():
            files.append(base.with_suffix(".py"))
    return files


@cache
def _passed_on(file: Path) -> dict[str, str] | None:
    """Names that an `__init__` passes on -> the module each comes from; None when it does anything else."""
    names: dict[str, str] = {}
    if file.name != "__init__.py":
        return None
    for node in _parse(file).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.ImportFrom) and not node.level and all(a.name != "*" for a in node.names):
            names |= {alias.asname or alias.name: f"{node.module} {alias.name}" for alias in node.names}
        elif not (
            isinstance(node, ast.Assign)
            and all(isinstance(to, ast.Name) and to.id.startswith("__") for to in node.targets)
        ):
            return None
    return names


def _needed_files(module: str, name: str | None, root: Path) -> set[Path]:
    """Files that decide what `name` of `module` is, or the whole module where `name` is None."""
    files = _module_files(module, root)
    found = {file for file in files[:-1] if _passed_on(file) is None}
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
    found: set[Path] = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _needed_files(alias.name, None, root)
                if not needed:
                    found.update(_module_files(alias.name, root))
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise UserError(f"{path}, line {node.lineno}: relative imports hide code from the digest.")
            for alias in node.names:
                if node.module in ("importlib", "importlib.util", "runpy") and alias.name in DYNAMIC:
                    raise _dynamic(path, node.lineno)
                found |= _needed_files(node.module or "", alias.name, root)
                if not needed:
                    found.update(_module_files(f"{node.module}.{alias.name}", root))
        elif isinstance(node, ast.Call):
            # `model.eval()` is a method of torch's modules; only the built-in runs code.
            called = getattr(node.func, "id", "")
            if isinstance(node.func, ast.Attribute) and node.func.attr not in ("eval", "exec"):
                called = node.func.attr
            if called in DYNAMIC:
                raise _dynamic(path, node.lineno)
    return tuple(sorted(found - {path}))


def _dynamic(path: Path, line: int) -> UserError:
    return UserError(f"{path}, line {line}: dynamic imports hide code from the digest.")


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


def _blank_words(tree: ast.Module) -> ast.Module:
    """Blank what no result can depend on: docstrings, and what a job says as it refuses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError":
            node.args = []
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    first.value.value = ""
            elif first is not None:
                # Adding a first docstring must change as little as editing one.
                node.body.insert(0, ast.Expr(ast.Constant("")))
    return tree


def dumped(tree: ast.AST) -> str:
    """A syntax tree as text that every Python from 3.11 on writes alike, so that none makes results rerun.

    From 3.12 on, functions and classes have a list of type parameters, and from 3.13 on empty lists are
    left out unless they are asked for.
    """
    shown: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(tree, include_attributes=False, **shown).replace(", type_params=[]", "")


@cache
def _tree_digest(path: Path) -> str:
    tree = _blank_words(ast.parse(path.read_text()))
    return hashlib.sha256(dumped(tree).encode()).hexdigest()


@cache
def module_digests(script: str, root: Path = SCRIPTS) -> dict[str, str]:
    """Digest of each local file that `workflow/scripts/{script}` reaches: path below `root` -> digest.

    Only files that its results can depend on, sorted.
    """
    files = reachable((root / script).resolve(), root, needed=True)
    return {str(file.relative_to(root)): _tree_digest(file) for file in files}


@cache
def code_digest(script: str, root: Path = SCRIPTS) -> str:
    """Digest of `workflow/scripts/{script}` and all local code that it reaches (16 hex digits)."""
    combined = hashlib.sha256()
    for name, digest in module_digests(script, root).items():
        combined.update(name.encode())
        combined.update(digest.encode())
    return combined.hexdigest()[:16]
