"""Where every result lies. The only place that knows paths below `results/`."""

from __future__ import annotations

import re

RESULTS = "results"


def model(name: str) -> str:
    """Directory of a fetched or pre-trained model; its manifest is this plus `.json`."""
    return f"{RESULTS}/models/{name}"


def blank(name: str) -> str:
    """Directory of a miniature's shape and tokenizer, without weights; its manifest is this plus `.json`."""
    return f"{RESULTS}/blanks/{name}"


def gguf(name: str) -> str:
    """Directory of a fetched GGUF file, from which the model's directory is made."""
    return f"{RESULTS}/gguf/{name}"


def dataset(task: str) -> str:
    """Table of a task's examples."""
    return f"{RESULTS}/datasets/{task}.parquet"


def run(name: str, file: str) -> str:
    """A file of one run with one seed; name is an instance name or a wildcard pattern."""
    return f"{RESULTS}/runs/{name}/{file}"


def api_run(name: str, file: str) -> str:
    """A file of one run of a model behind an API."""
    return f"{RESULTS}/api/{name}/{file}"


def embedding(name: str, file: str) -> str:
    """A file about one number embedding: of a model, or of a run's instance."""
    return f"{RESULTS}/embeddings/{name}/{file}"


def figure(panel: str, suffix: str) -> str:
    """One of a figure's files."""
    return f"{RESULTS}/figures/{panel}.{suffix}"


def table(name: str, suffix: str) -> str:
    """One of a table's files."""
    return f"{RESULTS}/tables/{name}.{suffix}"


def explorer() -> str:
    """The page to look around in the results."""
    return f"{RESULTS}/explorer.html"


def owner(path: str) -> str:
    """The run, model or API run that a result belongs to: the folder below that of its kind."""
    return path.split("/")[2]


def slug(label: str) -> str:
    """A label as part of a path: lower case, everything but letters and digits a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
