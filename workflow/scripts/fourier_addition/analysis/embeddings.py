"""The number embedding: its spectrum, t-SNE, clusters (section 4.1, figures 5, 7a, 15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.outliers import NumberSignals, null_test
from fourier_addition.errors import UserError
from fourier_addition.fourier import embedding_spectrum, fourier_basis


def embedding_table(embedding: np.ndarray, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """Spectrum of a number embedding, with outliers against shuffled numbers (section 4.1, figure 5a).

    embedding: (number, feature). analysis: the configuration's `analysis`.
    Columns: component, period, magnitude, ratio (to the median), prominence, p_value, threshold,
    outlier.
    """
    rows = np.asarray(embedding, np.float64)
    basis = fourier_basis(len(rows), analysis["basis"])
    magnitudes = embedding_spectrum(rows, basis)
    null = null_test(
        magnitudes,
        lambda order: embedding_spectrum(rows[order], basis),
        NumberSignals(rows.T, lambda values: embedding_spectrum(values.T, basis), basis.base_period),
        draws=analysis["null_draws"],
        level=analysis["null_level"],
        window=analysis["null_window"],
        seed=analysis["seed"],
    )
    return pd.DataFrame(
        {
            "component": basis.components,
            "period": basis.periods,
            "magnitude": magnitudes,
            "ratio": magnitudes / np.median(magnitudes),
            "prominence": null.prominence,
            "p_value": null.p_value,
            "threshold": null.threshold,
            "outlier": null.outlier,
        }
    )


MAP_COLUMNS = ("number", "x", "y", "cluster")


def enough_for_map(count: int, *, clusters: int, perplexity: float) -> bool:
    """Whether `count` numbers are enough for t-SNE and for the clusters; ten digits are not."""
    return count > max(clusters, perplexity)


def embedding_map(embedding: np.ndarray, *, clusters: int, perplexity: float, seed: int) -> pd.DataFrame:
    """t-SNE map and k-means clusters of the number embedding (figure 5b).

    embedding: (number, feature). clusters: how many. perplexity: of t-SNE. seed: of both. k-means works on
    the embedding, not on the map. Columns: `MAP_COLUMNS`. Raises UserError when there are too few numbers.
    """
    from sklearn.cluster import KMeans
    from sklearn.manifold import TSNE

    count = len(embedding)
    if not enough_for_map(count, clusters=clusters, perplexity=perplexity):
        raise UserError(
            f"{count} numbers are too few for {clusters} clusters (`analysis.clusters`) at "
            f"perplexity {perplexity} (`analysis.perplexity`)."
        )
    rows = np.asarray(embedding, np.float64)
    xy = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
    labels = KMeans(clusters, n_init=10, random_state=seed).fit_predict(rows)
    return pd.DataFrame({"number": np.arange(count), "x": xy[:, 0], "y": xy[:, 1], "cluster": labels})
