"""What the pages say exists: links, paths, configurations, and every command line."""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from fourier_addition.errors import UserError
from fourier_addition.library.names import PUBLIC
from fourier_addition.pipeline.config import schema, validated
from snakemake.cli import parse_args
from study import ROOT

SCRIPTS = ROOT / "workflow/scripts"
PACKAGE = SCRIPTS / "fourier_addition"
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md"),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")),
]
MADE = ("results/", "logs/", ".snakemake", ".venv", "api-cache/")
"""Beginnings of paths that do not exist before a study has run."""
PLACEHOLDERS = ("path/to/", "...")
"""What stands in the pages for a path of the user's."""

FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", flags=re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return [text for named, text in FENCE.findall(read(page)) if named == language]


def prose(page: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", read(page))


def quoted(page: str) -> list[str]:
    """What stands in backticks outside of the code blocks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


# Links


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown viewer gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    (page, link)
    for page in PAGES
    for link in LINK.findall(prose(page))
    if not link.startswith(("http://", "https://"))
]


def test_links_are_found():
    assert len(LINKS) >= 25


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_link_leads_somewhere(page, link):
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists(), f"{page} links to {path}, which does not exist"
    if anchor:
        assert anchor in anchors(target), f"{page} links to {link}; no heading has that anchor"


# Paths in backticks

FILE = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:py|md|yaml|smk|toml|rst|cff)|(?:[\w.-]+/)+")


@cache
def views() -> set[str]:
    """Names of the figures and tables that a shipped configuration makes."""
    configs = [yaml.safe_load(path.read_text()) for path in (ROOT / "config").glob("*.yaml")]
    configs += [yaml.safe_load(block) for page in PAGES for block in blocks(page, "yaml")]
    return {name for each in configs for kind in ("figures", "tables") for name in each.get(kind, {})}


def is_path(text: str) -> bool:
    """Whether a text has the form of a file or folder, or begins with a folder of the repository's root."""
    under = re.fullmatch(r"([\w-]+)(?:/[\w.-]+)+", text)
    return bool(FILE.fullmatch(text) or (under and (ROOT / under[1]).is_dir()))


PATHS = sorted({(page, text) for page in PAGES for text in quoted(page) if is_path(text)})


def test_paths_are_found():
    assert len(PATHS) >= 100


@pytest.mark.parametrize(("page", "text"), PATHS)
def test_every_path_in_backticks_exists(page, text):
    # A table or figure of a study, by its path or by its bare name.
    made = re.fullmatch(r"(?:results/(?:tables|figures)/)?([\w-]+)\.md", text)
    if text.startswith(MADE) and made is None:
        return
    if made is not None and made[1] in views():
        return
    # A path starts at the root, in the page's folder, in the package, or among the scripts.
    places = (ROOT, (ROOT / page).parent, PACKAGE, SCRIPTS)
    assert any((place / text).exists() for place in places), f"{page} names {text}, which does not exist"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_module_in_backticks_exists(page):
    for name in re.findall(r"fourier_addition(?:\.\w+)+", read(page)):
        if name.removeprefix("fourier_addition.") in PUBLIC:
            continue
        path = SCRIPTS / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), f"{page}: {name}"


# Configurations


def merged(base: Mapping[str, Any], fragment: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the sections of `fragment`, whose entries come beside those of the base."""
    return {
        **base,
        **{
            section: {**base[section], **entries} if isinstance(base.get(section), dict) else entries
            for section, entries in fragment.items()
        },
    }


def small_study() -> dict[str, Any]:
    """A valid configuration with the names that fragments use: the default, with the models of paper.yaml."""
    default, paper = (yaml.safe_load(read(f"config/{name}.yaml")) for name in ("config", "paper"))
    return merged(default, {section: paper[section] for section in ("models", "tasks")})


YAML = [(page, block) for page in PAGES for block in blocks(page, "yaml")]


def test_configurations_are_found():
    whole = [block for _, block in YAML if set(schema()["required"]) <= set(yaml.safe_load(block))]
    assert len(whole) >= 1 and len(YAML) >= 4


@pytest.mark.parametrize(("page", "block"), YAML)
def test_every_configuration_is_valid(page, block):
    given = yaml.safe_load(block)
    validated(given if set(schema()["required"]) <= set(given) else merged(small_study(), given))


@pytest.mark.parametrize("fragment", [{"runs": {"x": {"modle": "mini"}}}, {"aip": {}}])
def test_a_fragment_with_an_unknown_key_would_be_found(fragment):
    validated(small_study())
    with pytest.raises(UserError):
        validated(merged(small_study(), fragment))


def described(keys: list[str], rules: Mapping[str, Any]) -> bool:
    """Whether the schema knows a key of this path; a capital or <name> stands for a name of the user's."""
    if not keys:
        return True
    first, rest = keys[0], keys[1:]
    if first in rules.get("properties", {}):
        return described(rest, rules["properties"][first])
    named = rules.get("additionalProperties")
    return isinstance(named, dict) and described(rest, named)


def test_every_key_with_its_section_is_known():
    found = 0
    for page in PAGES:
        for text in quoted(page):
            path = re.fullmatch(r"(\w+)((?:\.[\w<>]+)+)(?:: .*)?", text)
            if path is None or path[1] not in schema()["properties"] or FILE.fullmatch(text):
                continue
            found += 1
            assert described([path[1], *path[2][1:].split(".")], schema()), f"{page}: {text}"
    assert found >= 5


# Code


@pytest.mark.parametrize(
    ("page", "block"), [(page, block) for page in PAGES for block in blocks(page, "python")]
)
def test_every_import_of_an_example_exists(page, block):
    for node in ast.parse(block).body:
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("fourier_addition"):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names), f"{page}: {node.module}"
        elif isinstance(node, ast.ImportFrom):
            path = SCRIPTS / (node.module or "").replace(".", "/")
            source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            known = set(re.findall(r"\w+", source.read_text()))
            assert {alias.name for alias in node.names} <= known, f"{page}: {node.module}"


# Commands

PROGRAMS = ("make", "snakemake", "python")
OTHERS = ("export", "ln", ".")
"""Commands of the shell itself in the pages' sh blocks."""


def words_of(line: str) -> list[str]:
    """The words of a command line, without the variables before it and without its comment."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words and words[0].startswith(".venv/bin/"):
        words[0] = words[0].removeprefix(".venv/bin/")
    return words


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of the pages: lines of sh blocks, and commands in backticks."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if words_of(line):
                    yield page, line
        for text in quoted(page):
            starts = re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(make|snakemake|python)(?: |$)", text)
            if starts and (starts[1] == "make" or " " in text):
                yield page, text


COMMANDS = list(dict.fromkeys(commands()))


def test_commands_are_found():
    programs = [words_of(line)[0] for _, line in COMMANDS]
    assert len(COMMANDS) >= 45
    assert all(programs.count(program) >= 5 for program in PROGRAMS)


def placeholder(path: object) -> bool:
    return str(path).startswith(PLACEHOLDERS)


@cache
def understood(words: tuple[str, ...]) -> Any:
    """Snakemake's arguments, or an AssertionError with the words that its parser refuses."""
    try:
        return parse_args(list(words))[1]
    except SystemExit:
        raise AssertionError(f"snakemake does not understand {' '.join(words)}") from None


def check_snakemake(words: list[str]) -> Any:
    """Snakemake understands the arguments, and the files that they name exist."""
    arguments = understood(tuple(words))
    profiles = [arguments.workflow_profile, *(arguments.profile or [])]
    for path in [*(arguments.configfile or []), *filter(None, profiles)]:
        assert placeholder(path) or (ROOT / path).exists(), f"{path} does not exist"
    return arguments


def check_make(words: list[str]) -> None:
    """`make -n` accepts the targets and variables, and the Snakemake calls that it prints are understood."""
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    assert set(variables) <= set(re.findall(r"\$\((\w+)\)", read("Makefile"))), variables
    config = variables.get("CONFIG", "config/config.yaml")
    assert placeholder(config) or (ROOT / config).is_file(), f"{config} does not exist"

    # A call inside `make test` must not see the flags of that make.
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    ran = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for line in ran.stdout.replace("\\\n", " ").splitlines():
        if line.startswith(".venv/bin/snakemake"):
            arguments = check_snakemake(words_of(line)[1:])
            assert set(variables.get("TARGETS", "").split()) <= set(arguments.targets)


def check_python(words: list[str]) -> None:
    """The module or script exists and has the options; paths among the arguments exist."""
    if words[0] == "-m":
        found = importlib.util.find_spec(words[1])
        assert found is not None and found.origin is not None, f"there is no module {words[1]}"
        sources, arguments = Path(found.origin), words[2:]
        sources = sources.parent if sources.name == "__init__.py" else sources
    else:
        sources, arguments = ROOT / words[0], words[1:]
        assert sources.is_file(), f"{words[0]} does not exist"

    # What asks Snakemake for a plan takes Snakemake's arguments.
    if words[:2] == ["-m", "fourier_addition.pipeline.why"]:
        check_snakemake(arguments)
    elif words[:2] != ["-m", "pytest"]:
        text = "".join(
            path.read_text() for path in ([sources] if sources.is_file() else sources.glob("*.py"))
        )
        for option in (word for word in arguments if word.startswith("--")):
            assert f'"{option}"' in text, f"{sources.name} has no option {option}"
    for path in (word for word in arguments if FILE.fullmatch(word) and not word.startswith(MADE)):
        assert (ROOT / path).exists(), f"{path} does not exist"


CHECKS = {"make": check_make, "snakemake": check_snakemake, "python": check_python}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """The pages' commands are given in the repository's root, with no profile of the user's."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_is_understood(page, line):
    program, *words = words_of(line)
    if program in CHECKS:
        CHECKS[program](words)
    else:
        assert program in OTHERS, f"{page} has a command that no test knows: {line}"


OPTIONS = [
    (page, text)
    for page in ("README.md", "docs/cluster.md", "docs/storage.md", "docs/module.md")
    for text in quoted(page)
    if text.startswith("--") and "fourier-addition/" not in text
]


def test_options_are_found():
    assert len(OPTIONS) >= 12


@pytest.mark.parametrize(("page", "text"), OPTIONS)
def test_every_option_of_snakemake_is_understood(page, text):
    understood(tuple(shlex.split(text)))


@pytest.mark.parametrize(
    "line",
    [
        "make reslts",
        "make CONFIG=config/none.yaml",
        "make CONFG=config/arms.yaml",
        "snakemake --cores all --configfile config/config.yaml results/tables/none.csv",
        "snakemake --workflow-profile profiles/none",
        "snakemake --no-such-option",
        "python -m fourier_addition.sizing --configfile config/paper.yaml",
        "python -m fourier_addition.pipeline.sizing --config config/paper.yaml",
        "python workflow/scripts/none.py",
    ],
)
def test_a_command_that_cannot_work_would_be_found(line):
    program, *words = words_of(line)
    with pytest.raises((AssertionError, ModuleNotFoundError)):
        CHECKS[program](words)
