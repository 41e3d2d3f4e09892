"""The public names, for type checkers; `library/names.py` loads them."""

from fourier_addition import interventions as interventions
from fourier_addition.analysis.probes import probe_table as probe_table
from fourier_addition.capture.dataset import open_capture as open_capture
from fourier_addition.capture.dataset import read_number_rows as read_number_rows
from fourier_addition.errors import UserError as UserError
from fourier_addition.filters import Filter as Filter
from fourier_addition.filters import removal_basis as removal_basis
from fourier_addition.fourier import FourierBasis as FourierBasis
from fourier_addition.fourier import coefficients as coefficients
from fourier_addition.fourier import fourier_basis as fourier_basis
from fourier_addition.fourier import high_components as high_components
from fourier_addition.fourier import low_components as low_components
from fourier_addition.fourier import spectrum as spectrum
from fourier_addition.interventions import Planes as Planes
from fourier_addition.interventions import planes_of as planes_of
from fourier_addition.library.embeddings import number_rows as number_rows
from fourier_addition.library.embeddings import number_space as number_space
from fourier_addition.library.embeddings import number_spectrum as number_spectrum
from fourier_addition.library.figures import plot_module_spectra as plot_module_spectra
from fourier_addition.library.figures import plot_number_spectrum as plot_number_spectrum
from fourier_addition.library.interventions import number_filter as number_filter
from fourier_addition.library.interventions import number_logits as number_logits
from fourier_addition.library.interventions import number_planes as number_planes
from fourier_addition.library.miniature import accuracy_of as accuracy_of
from fourier_addition.library.miniature import examples_of as examples_of
from fourier_addition.library.miniature import finetune as finetune
from fourier_addition.library.miniature import pretrain_miniature as pretrain_miniature
from fourier_addition.library.modules import module_outputs as module_outputs
from fourier_addition.library.modules import module_spectra as module_spectra
from fourier_addition.library.sources import fetch_model as fetch_model
from fourier_addition.models.loading import load_model as load_model
from fourier_addition.models.loading import wrap as wrap
from fourier_addition.models.view import ModelView as ModelView
from fourier_addition.numbers import NumberSpace as NumberSpace

__version__: str
