"""The rooms of the package: who may import whom, what each room loads, and words that must not come back."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from fourier_addition.pipeline.code_digest import SCRIPTS

PACKAGE = SCRIPTS / "fourier_addition"
FILES = sorted(PACKAGE.rglob("*.py"))
SCIENCE = [path for path in FILES if "pipeline" not in path.relative_to(PACKAGE).parts]
MACHINERY = {"snakemake", "jsonschema", "yaml"}


def module_of(path: Path) -> str:
    """Dotted name of a file below the scripts."""
    parts = path.relative_to(SCRIPTS).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def named_by(node: ast.stmt) -> set[str]:
    """Modules of the package that an import statement names."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        names = (inner & MODULES.keys()) | ({node.module} if inner - MODULES.keys() else set())
    else:
        names = set()
    return names & MODULES.keys()


def for_types_alone(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported_at_the_top(body: list[ast.stmt]) -> set[str]:
    """Modules of the package that a file loads as it is imported itself."""
    found: set[str] = set()
    for node in body:
        found |= named_by(node)
        if isinstance(node, ast.If | ast.Try | ast.With) and not for_types_alone(node):
            parts = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
            found |= imported_at_the_top([inner for part in parts for inner in part])
    return found


@cache
def top_imports() -> dict[str, set[str]]:
    return {
        name: imported_at_the_top(ast.parse(path.read_text()).body) - {name} for name, path in MODULES.items()
    }


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Modules of one circle, in order; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, above: list[str]) -> list[str]:
        if name in above:
            return [*above[above.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := walk(other, [*above, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def test_there_is_a_package_to_look_at():
    assert len(SCIENCE) > 50 and len(FILES) > len(SCIENCE) + 10


@pytest.mark.parametrize("path", SCIENCE, ids=module_of)
def test_the_science_imports_nothing_of_the_pipeline(path):
    tree = ast.parse(path.read_text())
    imported = {name for node in ast.walk(tree) if isinstance(node, ast.stmt) for name in named_by(node)}
    assert not [name for name in imported if name.startswith("fourier_addition.pipeline")]


LOADING = """
import builtins, sys

load, machinery, ours = builtins.__import__, sys.argv[1].split(), set()


def note(name, *rest, **named):
    who = ((rest[0] if rest else named.get("globals")) or {}).get("__name__", "")
    if name.split(".")[0] in machinery and who.startswith("fourier_addition"):
        ours.add(f"{who} loads {name}")
    return load(name, *rest, **named)


builtins.__import__ = note
for module in sys.argv[2:]:
    __import__(module)
others = [f"{name} is loaded" for name in ("snakemake", "jsonschema") if name in sys.modules]
print(*sorted(ours), *others, sep=chr(10))
"""


def loaded_machinery(*modules: str) -> str:
    """What is said of machinery that is loaded when a fresh process imports these modules.

    huggingface_hub loads yaml for itself, so of yaml only the package's own imports count.
    """
    ran = subprocess.run(
        [sys.executable, "-c", LOADING, " ".join(MACHINERY), *modules],
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_importing_the_science_loads_no_machinery():
    assert loaded_machinery(*map(module_of, SCIENCE)) == ""
    # And the test can fail.
    assert "pipeline.config loads yaml" in loaded_machinery("fourier_addition.pipeline.config")


def test_no_modules_import_each_other():
    assert circle_in(top_imports()) == []


def test_a_circle_would_be_found():
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}
    assert circle_in(graph) == ["b", "d", "b"]
    body = ast.parse(
        "if TYPE_CHECKING:\n    import fourier_addition.fourier\n"
        "try:\n    from fourier_addition import filters\nexcept ImportError:\n    pass\n"
        "def f():\n    import fourier_addition.tasks\n"
    ).body
    assert imported_at_the_top(body) == {"fourier_addition.filters"}


def test_the_top_level_reads_like_a_table_of_contents():
    assert len(list(PACKAGE.glob("*.py"))) <= 10


CODE = ("workflow", "Snakefile", "config", "tests/configs")
GONE = [
    # (pattern of an old word, where it must not stand, what is said instead)
    (r"readout", CODE, "number rows, filter bank"),
    (r"fourier_addition\.(layout|storage|digest|alone|config_docs|sizing|job)\b", CODE, "the room's name"),
    (r"error_distribution", CODE, "mistakes"),
    (r"(?-i:\"removed\")", CODE, "band"),
    (r"(norm|NORMS)\b.{0,12}[\"'](gain|none)[\"'](?!\): )(?!.*final)", ("workflow/scripts",), "raw, folded"),
    (r"def _?wilson(?!_interval\b)|def _share\b", CODE, "intervals.Share"),
    (r"parsed_number|parse_number", CODE, "answers.written_number"),
    (r"\bapplying\b|\bprompting\.py", ("workflow/scripts",), "torch_filters, prompted"),
    (r"\bsizing_report\b|pipeline[./]sizing\.py", (*CODE, "docs", "Makefile"), "sizing/report"),
]
"""Words of earlier layouts. One word means one thing; a word that comes back means two again."""


@pytest.mark.parametrize(("pattern", "places", "instead"), GONE, ids=[pattern for pattern, _, _ in GONE])
def test_a_word_that_is_gone_stays_gone(pattern, places, instead):
    word = re.compile(pattern, re.IGNORECASE)
    root = SCRIPTS.parents[1]
    files = [
        file
        for place in places
        for file in ([root / place] if (root / place).is_file() else sorted((root / place).rglob("*")))
        if file.suffix in (".py", ".smk", ".yaml", ".md", ".rst", "") and file.is_file()
    ]
    assert files
    found = [
        f"{file.relative_to(root)}:{number}"
        for file in files
        if "__pycache__" not in file.parts
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if word.search(line)
    ]
    assert found == [], f"say {instead}"
