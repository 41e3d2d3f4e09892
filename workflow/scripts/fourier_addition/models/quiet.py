"""Hugging Face's own progress bars and tables, kept out of the logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as untyped

logging: Any = untyped
"""Transformers' own module, whose functions have no types."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' bars and everything below errors; put both back afterwards.

    What matters in them (missing weights) is checked and said by `load_model`.
    """
    verbosity = logging.get_verbosity()
    bar = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
