"""Names of what adds to the residual stream, and of the two ways of reading it as logits.

A module of their own without any import: captures, filters and tables agree on these names, and an edit
of one of those reruns nothing of the others.
"""

MODULES = ("attention", "mlp")
"""What adds to the residual stream, in the order of every array with a `module` dimension."""
FILTERED = (*MODULES, "both")
"""Whose outputs a filter of table 1 is applied to."""
RESIDUAL = "residual"
"""The residual stream after a block."""
CHANGED = (*FILTERED, RESIDUAL)
"""Where an intervention may be made."""
MODULE_NORMS = ("raw", "folded")
"""How what stands before the unembedding enters a module's logits: not at all, or its linear part."""
