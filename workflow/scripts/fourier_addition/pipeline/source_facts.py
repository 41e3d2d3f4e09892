"""What one Python file says of itself: what it imports, what it passes on, and a digest of its syntax tree.

All of it follows from the file's text alone. So it is worked out once for each text and kept under
`.snakemake/`, by the SHA-256 of the text: reading every module anew takes two seconds of each start.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fourier_addition.files.whole import replacing

KEPT = Path(".snakemake/code-facts.json")
"""Where facts are kept between starts, below the folder of the study."""
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


@dataclass(frozen=True)
class SourceFacts:
    """What a file's text says.

    digest: SHA-256 of the syntax tree, without what no result can depend on.
    imports: (module, name or None where the whole module is imported) of every import in the file.
    hidden: the first import that cannot be followed, as (line, "relative" or "dynamic").
    passed_on: name -> "module original" where the file does nothing but pass on names; else None.
    """

    digest: str
    imports: list[tuple[str, str | None]]
    hidden: tuple[int, str] | None
    passed_on: dict[str, str] | None


def _imports(tree: ast.Module) -> tuple[list[tuple[str, str | None]], tuple[int, str] | None]:
    """Every import of a file, and the first that cannot be followed."""
    found: dict[tuple[str, str | None], None] = {}
    hidden = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None): None for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                hidden.append((node.lineno, "relative"))
                continue
            for alias in node.names:
                if node.module in ("importlib", "importlib.util", "runpy") and alias.name in DYNAMIC:
                    hidden.append((node.lineno, "dynamic"))
                found[node.module or "", alias.name] = None
        elif isinstance(node, ast.Call):
            # `model.eval()` is a method of torch's modules; only the built-in runs code.
            called = getattr(node.func, "id", "")
            if isinstance(node.func, ast.Attribute) and node.func.attr not in ("eval", "exec"):
                called = node.func.attr
            if called in DYNAMIC:
                hidden.append((node.lineno, "dynamic"))
    return list(found), hidden[0] if hidden else None


def _passed_on(tree: ast.Module) -> dict[str, str] | None:
    """Names that a file passes on -> the module each comes from; None when it does anything else."""
    names: dict[str, str] = {}
    for node in tree.body:
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


def facts_of(text: str, name: str) -> SourceFacts:
    """Facts of a file's text; `name` stands in a SyntaxError."""
    tree = ast.parse(text, filename=name)
    imports, hidden = _imports(tree)
    passed_on = _passed_on(tree)
    digest = hashlib.sha256(dumped(_blank_words(tree)).encode()).hexdigest()
    return SourceFacts(digest, imports, hidden, passed_on)


def _way() -> str:
    """What facts depend on beside the text: this file."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


class FactsKeeper:
    """Facts by the SHA-256 of the text, those of earlier starts and new ones.

    path: JSON file of the facts; one that is missing, unreadable or of another state of this module is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, SourceFacts] = {}
        self.used: set[str] = set()
        self.new = False
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            read = json.loads(path.read_text())
            if read["way"] == _way():
                self.known = {
                    key: SourceFacts(
                        facts["digest"],
                        [(module, name) for module, name in facts["imports"]],
                        tuple(facts["hidden"]) if facts["hidden"] else None,
                        facts["passed_on"],
                    )
                    for key, facts in read["facts"].items()
                }

    def facts(self, file: Path) -> SourceFacts:
        """Facts of a file as it is now."""
        content = file.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        if key not in self.known:
            self.known[key] = facts_of(content.decode(), str(file))
            self.new = True
        self.used.add(key)
        return self.known[key]

    def keep(self) -> None:
        """Write what was learned, without texts that are gone; a read-only folder keeps nothing."""
        if not self.new:
            return
        with contextlib.suppress(OSError), replacing(self.path) as temporary:
            facts = {key: asdict(self.known[key]) for key in sorted(self.used)}
            temporary.write_text(json.dumps({"way": _way(), "facts": facts}))
        self.new = False


@cache
def keeper(path: Path = KEPT) -> FactsKeeper:
    """The facts of this process's study."""
    return FactsKeeper(path)


@cache
def source_facts(file: Path) -> SourceFacts:
    """Facts of a file, read once by a process."""
    return keeper().facts(file)
