"""The user's manual of the configuration, made from the schema and from the kinds of figures and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.config import SCHEMA, schema
from fourier_addition.pipeline.figures import KINDS, PAPER
from fourier_addition.pipeline.tables import KEYS, PAPER_TABLES, TABLE_KINDS
from fourier_addition.tasks import OPERATIONS
from fourier_addition.training.arms import ARMS

INTRODUCTION = """# Configuration

Made from `schema.yaml` by `make docs`; a test keeps the two in step. Sections are the top-level keys.
`<name>` is a name of your choice. Keys that everyone leaves alone have defaults. A wrong key or value
stops the workflow before any job, with one sentence that names it.

| file | what it is |
| --- | --- |
| `config.yaml` | the default: complete on a laptop, no model hub |
| `local.yaml` | a Hugging Face directory of your own, as it comes |
| `minilm.yaml` | MiniLM, real weights, from end to end on a CPU |
| `arms.yaml` | scratch versus pre-trained at length: six arms, five seeds |
| `gpt2.yaml` | GPT-2-small from the model hub, one GPU |
| `modern.yaml` | newer models as they come: embeddings, probes, answers with solved examples |
| `smollm2.yaml` | a real causal language model from a package, asked with solved examples, probed |
| `paper.yaml` | every model, run, figure and table of the paper |
| `schema.yaml` | every key, its default and its meaning |

Use another file with `make CONFIG=path/to/file.yaml` or
`snakemake --cores all --configfile path/to/file.yaml`.
Threads, memory, partitions and time limits are not configuration: they are in `profiles/`.
"""


REGISTERED = {
    "tasks.<name>.operation": {
        name: f'as in "{operation.templates[0]}"' for name, operation in OPERATIONS.items()
    },
    "runs.<name>.embedding": {name: arm.description for name, arm in ARMS.items()},
}
"""Keys whose values are records in the code: key -> value -> what it means. The schema repeats none."""


def _type(rule: Mapping[str, Any]) -> str:
    if "enum" in rule:
        return " or ".join(f"`{value}`" for value in rule["enum"])
    if "anyOf" in rule:
        return " or ".join(_type(each) for each in rule["anyOf"])
    if "const" in rule:
        return f"`{rule['const']}`"
    kind: str = rule.get("type", "any")
    names = {"integer": "whole number", "array": "list", "object": "mapping", "boolean": "true or false"}
    return names.get(kind, kind)


def _default(rule: Mapping[str, Any], required: bool) -> str:
    if "default" in rule:
        value = rule["default"]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"`{text}`" if text else "empty"
    return "required" if required else "-"


def _rows(rules: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    required = rules.get("required", [])
    for key, rule in rules.get("properties", {}).items():
        name = f"{prefix}{key}"
        # A mapping with described keys of its own is documented by them.
        inner = rule.get("properties") or (rule.get("items") or {}).get("properties")
        default = "-" if inner and rule.get("default") == {} else _default(rule, key in required)
        yield name, _type(rule), default, rule.get("description", "")
        if rule.get("properties"):
            yield from _rows(rule, f"{name}.")
        elif inner:
            yield from _rows(rule["items"], f"{name}[].")


def _figure_kinds() -> str:
    """Every kind of figure: what a figure of the kind needs, the paper's figures, and what is drawn."""
    lines = ["\n| kind | needs | the paper's | what it draws |\n| --- | --- | --- | --- |\n"]
    for kind in KINDS.values():
        needs = ", ".join(f"`{key}`" for key in kind.shows)
        paper = [name.removeprefix("figure-") for name, (of, _) in PAPER.items() if of == kind.name]
        lines.append(f"| `{kind.name}` | {needs} | {', '.join(paper) or '-'} | {kind.description} |\n")
    return "".join(lines)


def _table_kinds() -> str:
    """Every kind of table: what a table of the kind needs, the paper's tables, and what is listed."""
    lines = ["\n| kind | needs | the paper's | what it lists |\n| --- | --- | --- | --- |\n"]
    for kind in TABLE_KINDS.values():
        paper = [name.removeprefix("table-") for name, of in PAPER_TABLES.items() if of == kind.name]
        lines.append(
            f"| `{kind.name}` | `{KEYS[kind.of]}` | {', '.join(paper) or '-'} | {kind.description} |\n"
        )
    return "".join(lines)


KINDS_OF = {"figures": _figure_kinds, "tables": _table_kinds}
"""Section of the configuration -> the kinds that it takes, as a table."""


def document() -> str:
    """The text of config/README.md."""
    parts = [INTRODUCTION]
    for key, rule in schema()["properties"].items():
        parts.append(f"\n## `{key}`\n\n{rule['description']}\n")
        named = rule.get("additionalProperties")
        rows = list(_rows(named, "<name>.") if isinstance(named, dict) else _rows(rule, ""))
        if rows:
            parts.append("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n")
        for name, kind, default, meaning in rows:
            records = REGISTERED.get(f"{key}.{name}")
            if records is not None:
                kind = " or ".join(f"`{value}`" for value in records)
                meaning += " " + "; ".join(f"`{value}`, {what}" for value, what in records.items())
                meaning = meaning.rstrip(".") + "."
            parts.append(f"| `{name}` | {kind} | {default} | {meaning.replace('|', '/')} |\n")
        if key in KINDS_OF:
            parts.append(KINDS_OF[key]())
    return "".join(parts)


def main() -> None:
    """Write config/README.md, or the path given."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SCHEMA.with_name("README.md")
    with replacing(target) as temporary:
        temporary.write_text(document())


if __name__ == "__main__":
    main()
