"""Tables: the cells of every kind of table, and writing them as CSV, Markdown and LaTeX."""

from fourier_addition.tables.writing import TableCells, write_table

__all__ = ["TableCells", "write_table"]
