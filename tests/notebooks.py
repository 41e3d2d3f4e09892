"""Executes the repository's notebooks: `make notebooks` in place, the tests on copies.

What is kept says nothing of this machine: no times, no paths, no version of the kernel.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
NAMES = ("tour", "your_model")
SECONDS_OF_A_CELL = 900
"""When a cell counts as hung; nothing is measured by it."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def executed(path: Path) -> Any:
    """The notebook of a file, run from its first cell to its last in a new folder, on one thread.

    The package is this checkout's. Raises nbclient's CellExecutionError for a cell that ends in an error.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        # Where Jupyter and IPython keep their own files; nothing of the user's is read or written.
        inside = {
            "PYTHONPATH": str(ROOT / "workflow/scripts"),
            "IPYTHONDIR": f"{folder}/ipython",
            "JUPYTER_CONFIG_DIR": f"{folder}/jupyter",
            "JUPYTER_DATA_DIR": f"{folder}/data",
            "JUPYTER_RUNTIME_DIR": f"{folder}/runtime",
            "JUPYTER_PLATFORM_DIRS": "1",
            # Sums in one order, whatever the machine's count of cores.
            "OMP_NUM_THREADS": "1",
        }
        work = Path(folder, "work")
        work.mkdir()
        with _environment(inside):
            client = NotebookClient(
                notebook,
                timeout=SECONDS_OF_A_CELL,
                kernel_name="python3",
                record_timing=False,
                # A slow machine sends what one cell prints in several parts.
                coalesce_streams=True,
                resources={"metadata": {"path": str(work)}},
            )
            client.execute()
    return kept(notebook)


def kept(notebook: Any) -> Any:
    """The notebook with the same metadata and cell names on every machine."""
    notebook.metadata = METADATA
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{place}"
        cell["metadata"] = {}
    return notebook


def printed(notebook: Any) -> str:
    """Everything that the cells printed."""
    return "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream"
    )


def main(paths: list[str]) -> None:
    """Execute notebooks in place; all of the repository's where none is named."""
    import nbformat

    for path in map(Path, paths or [str(FOLDER / f"{name}.ipynb") for name in NAMES]):
        notebook = executed(path)
        nbformat.validate(notebook)
        path.write_text(nbformat.writes(notebook) + "\n")
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
