"""What a run starts from: pre-trained weights, random weights, or random weights around an embedding."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView, load_model, scratch_model
from fourier_addition.numbers import NumberSpace, tokenizer_number_space

EMBEDDINGS = ("pretrained", "random", "shuffled", "fourier")


def fourier_number_embedding(size: int, width: int, periods: tuple[int, ...] = (10, 100, 1000)) -> np.ndarray:
    """Fourier number embedding (FoNE, arXiv 2502.09741): cos and sin of 2 pi n / T, (number, width).

    The first 2 * len(periods) features carry the numbers, the others are 0. Raises UserError
    when the width is too small.
    """
    if width < 2 * len(periods):
        raise UserError(
            f"A Fourier number embedding with {len(periods)} periods needs a width of at least "
            f"{2 * len(periods)}, not {width}."
        )
    angle = 2 * np.pi * np.arange(size)[:, None] / np.asarray(periods)[None, :]
    out = np.zeros((size, width), np.float32)
    out[:, 0 : 2 * len(periods) : 2] = np.cos(angle)
    out[:, 1 : 2 * len(periods) : 2] = np.sin(angle)
    return out


def donor_embedding(
    kind: str, pretrained: torch.Tensor, number_ids: np.ndarray, scratch: torch.Tensor, seed: int
) -> torch.Tensor:
    """Token embedding (token, d_model) that a run from scratch is given.

    pretrained, scratch: (token, d_model). `pretrained`: the donor's rows (section 4.3 of the paper).
    `random`: Gaussian rows with the norms of the donor's, the control the paper lacks. `shuffled`: the
    donor's rows with those of the numbers permuted: same vectors, wrong places. `fourier`: the
    scratch embedding with the numbers' rows replaced by FoNE at the donor's mean number norm.
    """
    generator = np.random.default_rng(seed)
    ids = torch.as_tensor(number_ids, dtype=torch.long)
    if kind == "pretrained":
        return pretrained.clone()
    if kind == "random":
        rows = torch.from_numpy(generator.standard_normal(pretrained.shape).astype(np.float32))
        return rows / rows.norm(dim=1, keepdim=True) * pretrained.norm(dim=1, keepdim=True)
    if kind == "shuffled":
        out = pretrained.clone()
        out[ids] = pretrained[ids[torch.from_numpy(generator.permutation(len(ids)))]]
        return out
    if kind == "fourier":
        out = scratch.clone()
        rows = torch.from_numpy(fourier_number_embedding(len(ids), scratch.shape[1]))
        out[ids] = rows * (pretrained[ids].norm(dim=1).mean() / rows.norm(dim=1).mean())
        return out
    raise UserError(f"Embedding '{kind}' is not known; it is one of {', '.join(EMBEDDINGS)}.")


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
    """Token embedding from scratch with the numbers' rows of another model.

    donor: (number, d_donor) rows of the numbers. own: (number, d_model) the model's own pre-trained
    rows, whose mean norm the donor's take, so that arms differ in directions alone. scratch:
    (token, d_model). Another width is brought to d_model by `projection`.
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

    start: `pretrained` copies the embedding, `scratch` draws it as the model's embedding is drawn.
    """
    head, embedding = view.model.get_output_embeddings(), view.embedding_parameter()
    rows = embedding.detach().clone()
    if start == "scratch":
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(rows.shape, generator=generator) * view.model.config.initializer_range
        rows = drawn.to(rows)
    head.weight = nn.Parameter(rows)
    view.model.config.tie_word_embeddings = False


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
            # Families that hand attention its dropout as a number.
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, float(probability))


def start_model(
    directory: str,
    *,
    start: str,
    embedding: str | None,
    frozen: bool,
    form: str,
    numbers: int,
    seed: int,
    device: str,
    donor: str | None = None,
    tied: bool | None = None,
    dropout: float | None = None,
) -> tuple[ModelView, NumberSpace]:
    """The model that a run trains from, and its number space.

    directory: a Hugging Face directory. start: `pretrained` keeps its weights, `scratch` draws all
    of them from the seed. embedding: with `scratch`, a key of `EMBEDDINGS` that replaces the token
    embedding; tied models share it with the unembedding. donor: a directory whose numbers' rows the
    embedding is made from, instead of the model's own. frozen: the embedding does not train.
    tied: False unties the unembedding, which then trains; None leaves the model as it is.
    dropout: probability of every dropout; None leaves the model's own.
    form, numbers: answer form and size p of the number space. Raises UserError when a tokenizer
    lacks a number, for an unknown start or embedding, and for a model that cannot be tied.
    """
    if start == "pretrained":
        view = load_model(directory, device=device)
    elif start == "scratch":
        view = scratch_model(directory, seed=seed, device=device)
    else:
        raise UserError(f"Start '{start}' is not known; it is one of pretrained, scratch.")
    space = tokenizer_number_space(view.tokenizer, form).first(numbers)
    if tied and not view.tied:
        raise UserError("`tied_embedding: true` cannot tie a model whose embeddings are two arrays.")
    if tied is False and view.tied:
        untie(view, start=start, seed=seed)
    if embedding is not None:
        if start != "scratch":
            raise UserError("`embedding` replaces the token embedding of a run from scratch only.")
        pretrained = load_model(directory, device="cpu").embedding_parameter().detach().float()
        parameter = view.embedding_parameter()
        drawn = parameter.detach().cpu().float()
        if donor is not None:
            other = load_model(donor, device="cpu")
            rows = other.input_embedding(tokenizer_number_space(other.tokenizer, form).first(numbers).ids)
            pretrained = foreign_embedding(rows, pretrained[space.ids], space.ids, drawn)
        replacement = donor_embedding(embedding, pretrained, space.ids, drawn, seed)
        with torch.no_grad():
            parameter.copy_(replacement.to(parameter))
    if frozen:
        view.embedding_parameter().requires_grad_(False)
    if dropout is not None:
        set_dropout(view.model, dropout)
    return view, space
