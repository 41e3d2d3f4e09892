"""Figures: pandas DataFrames in, a matplotlib Figure and the table of what it draws out.

One look (`theme`), one frame (`frame`), a module for each family of plots. Nothing is computed in these
but what display needs (a mean over seeds, a band, a sort); every number comes in as a table. `kinds`
says which results each kind of figure takes and which plot draws them. `frame.save` writes a figure as
PDF and PNG with the drawn table as CSV beside them.

Fractions (accuracy, shares, kappa) come in as 0..1; accuracies are drawn in per cent.
"""
