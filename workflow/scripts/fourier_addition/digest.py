"""A digest of the code that a script can reach, so that Snakemake reruns what a change touches.

Snakemake sees the script's own bytes and nothing that it imports. This digest is a SHA-256
over the syntax trees of the script and of every local module that it imports, directly or
not, with docstrings blanked and positions dropped: comments, docstrings and formatting change
nothing, an edit in one library module reruns exactly the rules that reach it.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from fourier_addition.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[1]
NO_RESULT = ("fourier_addition/job.py",)
"""Logging, progress and the like: no number can depend on them, so they make nothing rerun."""


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
def local_imports(path: Path, root: Path = SCRIPTS) -> tuple[Path, ...]:
    """Local files that a Python file imports directly, anywhere in it.

    Raises UserError for a relative or dynamic import, which cannot be followed.
    """
    found: set[Path] = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.update(_module_files(alias.name, root))
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise UserError(f"{path}, line {node.lineno}: relative imports hide code from the digest.")
            found.update(_module_files(node.module or "", root))
            for alias in node.names:
                found.update(_module_files(f"{node.module}.{alias.name}", root))
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                raise UserError(f"{path}, line {node.lineno}: dynamic imports hide code from the digest.")
    return tuple(sorted(found - {path}))


def reachable(path: Path, root: Path = SCRIPTS) -> list[Path]:
    """The file and every local file it imports, directly or not, sorted."""
    todo, seen = [path.resolve()], set()
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(local_imports(current, root))
    return sorted(seen)


def _blank_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    first.value.value = ""
            elif first is not None:
                # Adding a first docstring must change as little as editing one.
                node.body.insert(0, ast.Expr(ast.Constant("")))
    return tree


@cache
def _tree_digest(path: Path) -> str:
    tree = _blank_docstrings(ast.parse(path.read_text()))
    return hashlib.sha256(ast.dump(tree, include_attributes=False).encode()).hexdigest()


@cache
def code_digest(script: str, root: Path = SCRIPTS) -> str:
    """Digest of `workflow/scripts/{script}` and all local code that it reaches (16 hex digits)."""
    path = (root / script).resolve()
    combined = hashlib.sha256()
    for file in reachable(path, root):
        if str(file.relative_to(root)) in NO_RESULT:
            continue
        combined.update(str(file.relative_to(root)).encode())
        combined.update(_tree_digest(file).encode())
    return combined.hexdigest()[:16]
