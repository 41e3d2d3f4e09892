"""Which weights the results are of, by the manifests of stores."""

from __future__ import annotations

import os
from collections.abc import Iterable

from fourier_addition.files.manifests import read_manifest


def weights_behind(manifests: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the weights that stores were made with: folder of the weights' manifest -> digest, sorted.

    manifests: paths of manifests of captures, number rows and outcomes.
    """
    found: dict[str, str] = {}
    for path in manifests:
        for source, facts in read_manifest(path)["provenance"]["inputs"].items():
            if "weights_sha256" in facts:
                found[os.path.basename(os.path.dirname(source))] = facts["weights_sha256"]
    return dict(sorted(found.items()))
