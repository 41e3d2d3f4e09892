"""One view of any transformer: where its parts are, how it is loaded, how it is read."""

from fourier_addition.models.encoding import Bucket, Encoded
from fourier_addition.models.families import FAMILIES
from fourier_addition.models.generation import greedy_texts
from fourier_addition.models.loading import load_model, scratch_model, wrap
from fourier_addition.models.recording import Recorded, Recorder
from fourier_addition.models.view import ModelView, first_tensor
from fourier_addition.modules import MODULES

__all__ = [
    "FAMILIES",
    "MODULES",
    "Bucket",
    "Encoded",
    "ModelView",
    "Recorded",
    "Recorder",
    "first_tensor",
    "greedy_texts",
    "load_model",
    "scratch_model",
    "wrap",
]
