"""Figures: pandas DataFrames in, a matplotlib Figure and the table of what it draws out.

One module a figure family, one theme (`theme`). Nothing is computed here but what display
needs (a mean over seeds, a band, a sort); every number comes in as a table. `theme.save`
writes a figure as PDF and PNG with the drawn table as CSV beside them.

Fractions (accuracy, shares, kappa) come in as 0..1; accuracies are drawn in per cent.
"""
