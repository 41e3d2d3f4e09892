"""The state of a training run on disk: written in one piece, read back by the same run only."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fourier_addition.files.whole import replacing


class Resumable:
    """Saves weights, optimizer, generators and progress, so that a killed run ends with the same bits.

    path: file of the state; None keeps none. identity: what makes two runs the same run (settings,
    data, start, code); a state with another identity is not used. every: seconds between saves.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any], every: float) -> None:
        self.path, self.every, self.last = path, every, time.monotonic()
        text = json.dumps(identity, sort_keys=True, default=str)
        self.identity = hashlib.sha256(text.encode()).hexdigest()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Put the saved state back and return the progress; None where there is no usable state."""
        if self.path is None or not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, weights_only=True)
        except Exception:  # a truncated or foreign file is no state; training starts afresh
            return None
        if state.get("identity") != self.identity:
            return None

        # Dropout goes on from where its generator stood.
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["generator"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_generators"])
        progress: dict[str, Any] = state["progress"]
        return progress

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.path is not None and time.monotonic() - self.last >= self.every

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, **progress: Any) -> None:
        """Replace the saved state. progress: plain values and tensors, which `load` gives back."""
        if self.path is None:
            return
        state = {
            "identity": self.identity,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "progress": progress,
        }
        with replacing(self.path) as temporary:
            torch.save(state, temporary)
        self.last = time.monotonic()
