"""What a training history says: at which epoch a run was at its best.

Free of torch, so that figures can read histories without it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def best_epoch(history: pd.DataFrame) -> int | None:
    """The epoch with the smallest validation loss, the first of equals; None where no loss is finite.

    history: one seed's, as `fit` returns it; epoch 0 is before training.
    """
    losses = history["validation_loss"].to_numpy(float)
    if not np.isfinite(losses).any():
        return None
    return int(history["epoch"].iloc[int(np.where(np.isfinite(losses), losses, np.inf).argmin())])


def best_in_words(history: pd.DataFrame, keep: str) -> str:
    """At which epoch the validation loss was smallest, and of which epoch the weights are kept.

    history: one seed's, as `fit` returns it. keep: `last` or `best`.
    """
    best, last = best_epoch(history), int(history["epoch"].iloc[-1])
    if best is None:
        return f"no validation loss is finite; the weights of epoch {last} are kept"
    losses = history.set_index("epoch")["validation_loss"]
    kept = best if keep == "best" else last
    return (
        f"the validation loss was smallest, {losses[best]:.4f}, at epoch {best} of {last} (at the end "
        f"{losses[last]:.4f}); the weights of epoch {kept} are kept"
    )
