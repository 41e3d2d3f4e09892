"""What a run starts from: pre-trained weights, random weights, or random weights around an embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView, load_model, scratch_model
from fourier_addition.numbers import NumberSpace, tokenizer_number_space
from fourier_addition.training.arms import ARMS, Given

STARTS = ("pretrained", "scratch")


@dataclass(frozen=True)
class Start:
    """What decides a run's weights before its first step, beside the seed.

    model: a Hugging Face directory. start: `pretrained` keeps its weights, `scratch` draws all of
    them from the seed. form, numbers: answer form and size p of the number space.
    embedding: with `scratch`, the name of the arm that makes the token embedding; None leaves the
    random one. A tied model shares it with the unembedding. donor: a directory; the arm then takes
    the rows of the numbers from this model. frozen: the embedding does not train.
    tied: False gives a tied model an unembedding of its own, which then trains; None leaves the
    model as it is. dropout: probability of every dropout; None leaves the model's own.
    """

    model: str
    start: str
    form: str
    numbers: int
    embedding: str | None = None
    donor: str | None = None
    frozen: bool = False
    tied: bool | None = None
    dropout: float | None = None


def start_model(start: Start, *, seed: int, device: str) -> tuple[ModelView, NumberSpace]:
    """The model that a run trains from, and its number space.

    Raises UserError when the tokenizer lacks a number, for an unknown start or arm, and for a model
    that cannot be tied.
    """
    # The weights, and the numbers that the tokenizer writes as one token (section 3.1).
    view = _weights(start, seed, device)
    space = tokenizer_number_space(view.tokenizer, start.form).first(start.numbers)

    # The unembedding goes first: an untied one starts from the embedding before that is replaced.
    if start.tied and not view.tied:
        raise UserError("`tied_embedding: true` cannot tie a model whose embeddings are two arrays.")
    if start.tied is False and view.tied:
        untie(view, start=start.start, seed=seed)

    # The token embedding of an arm (figure 7b).
    if start.embedding is not None:
        _replace_embedding(view, space, start, seed)

    # What training leaves alone, and what it adds.
    if start.frozen:
        view.embedding_parameter().requires_grad_(False)
    if start.dropout is not None:
        set_dropout(view.model, start.dropout)
    return view, space


def _weights(start: Start, seed: int, device: str) -> ModelView:
    if start.start not in STARTS:
        raise UserError(f"Start '{start.start}' is not known; it is one of {', '.join(STARTS)}.")
    if start.embedding is not None and start.start != "scratch":
        raise UserError("`embedding` replaces the token embedding of a run from scratch only.")
    if start.start == "pretrained":
        return load_model(start.model, device=device)
    return scratch_model(start.model, seed=seed, device=device)


def _replace_embedding(view: ModelView, space: NumberSpace, start: Start, seed: int) -> None:
    """Give the model the token embedding of the arm `start.embedding`."""
    assert start.embedding is not None
    parameter = view.embedding_parameter()
    scratch = parameter.detach().cpu().float()
    pretrained = load_model(start.model, device="cpu").embedding_parameter().detach().float()

    # Another model's numbers stand in for the model's own.
    if start.donor is not None:
        other = load_model(start.donor, device="cpu")
        others = tokenizer_number_space(other.tokenizer, start.form).first(start.numbers)
        donor = other.input_embedding(others.ids)
        pretrained = foreign_embedding(donor, pretrained[space.ids], space.ids, scratch)

    rows = donor_embedding(start.embedding, pretrained, space.ids, scratch, seed)
    with torch.no_grad():
        parameter.copy_(rows.to(parameter))


def donor_embedding(
    arm: str, pretrained: torch.Tensor, number_ids: np.ndarray, scratch: torch.Tensor, seed: int
) -> torch.Tensor:
    """Token embedding (token, d_model) of an arm, float32 on the CPU; see `ARMS`.

    pretrained, scratch: (token, d_model) float32 on the CPU. Raises UserError for an unknown arm.
    """
    if arm not in ARMS:
        raise UserError(f"Embedding '{arm}' is not known; it is one of {', '.join(ARMS)}.")
    given = Given(pretrained.numpy(), scratch.numpy(), np.asarray(number_ids), seed, _row_norms, _mean_norm)
    return torch.from_numpy(ARMS[arm].rows(given))


def _row_norms(rows: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, torch.from_numpy(rows).norm(dim=1, keepdim=True).numpy())


def _mean_norm(rows: np.ndarray) -> np.float32:
    return np.float32(torch.from_numpy(rows).norm(dim=1).mean().item())


def projection(width: int, target: int) -> np.ndarray:
    """Fixed orthonormal map between widths, (width, target): its columns, or its rows, are orthonormal.

    Drawn once for all from a seed of its own, so that every run projects a donor in the same way.
    """
    drawn = np.random.default_rng(0).standard_normal((max(width, target), min(width, target)))
    basis = np.linalg.qr(drawn)[0]
    return (basis if width >= target else basis.T).astype(np.float32)


def foreign_embedding(
    donor: torch.Tensor, own: torch.Tensor, number_ids: np.ndarray, scratch: torch.Tensor
) -> torch.Tensor:
    """Token embedding from scratch with the numbers' rows of another model, (token, d_model).

    donor: (number, d_donor) rows of the numbers. own: (number, d_model) the model's own pre-trained
    rows. The donor's rows take their mean norm, so that arms differ in directions alone. scratch:
    (token, d_model). A donor of another width is brought to d_model by `projection`.
    """
    rows = donor.float()
    if rows.shape[1] != scratch.shape[1]:
        rows = rows @ torch.from_numpy(projection(rows.shape[1], scratch.shape[1]))
    out = scratch.clone()
    ids = torch.as_tensor(number_ids, dtype=torch.long)
    out[ids] = rows * (own.norm(dim=1).mean() / rows.norm(dim=1).mean())
    return out


def untie(view: ModelView, *, start: str, seed: int) -> None:
    """Give a tied model an unembedding of its own.

    start: `pretrained` copies the embedding, `scratch` draws the unembedding as the model draws its
    embedding.
    """
    model: Any = view.model
    embedding = view.embedding_parameter()
    rows = embedding.detach().clone()
    if start == "scratch":
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(rows.shape, generator=generator) * model.config.initializer_range
        rows = drawn.to(rows)
    model.get_output_embeddings().weight = nn.Parameter(rows)
    model.config.tie_word_embeddings = False


def set_dropout(model: nn.Module, probability: float) -> None:
    """Give every dropout of a Hugging Face model one probability, in its configuration too."""
    config = model.config
    for name, value in list(vars(config).items()):
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, (int, float)):
            setattr(config, name, float(probability))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = float(probability)
        for name in ("attention_dropout", "dropout_prob", "hidden_dropout"):
            # Some families hand attention its dropout as a number.
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, float(probability))
