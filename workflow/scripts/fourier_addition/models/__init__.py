"""One view of any transformer: where its parts are, how it is loaded, how it is read."""

from fourier_addition.models.encoding import Bucket, Encoded
from fourier_addition.models.families import FAMILIES
from fourier_addition.models.loading import load_model, scratch_model, wrap
from fourier_addition.models.view import ModelView, first_tensor

__all__ = [
    "FAMILIES",
    "Bucket",
    "Encoded",
    "ModelView",
    "first_tensor",
    "load_model",
    "scratch_model",
    "wrap",
]
