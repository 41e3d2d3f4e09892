"""What a run starts from: pre-trained weights, random weights, or random weights around an embedding."""

from __future__ import annotations

import numpy as np
import torch

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
) -> tuple[ModelView, NumberSpace]:
    """The model that a run trains from, and its number space.

    directory: a Hugging Face directory. start: `pretrained` keeps its weights, `scratch` draws all
    of them from the seed. embedding: with `scratch`, a key of `EMBEDDINGS` that replaces the token
    embedding; tied models share it with the unembedding. frozen: it does not train.
    form, numbers: answer form and size p of the number space. Raises UserError when the tokenizer
    lacks a number, and for an unknown start or embedding.
    """
    if start == "pretrained":
        view = load_model(directory, device=device)
    elif start == "scratch":
        view = scratch_model(directory, seed=seed, device=device)
    else:
        raise UserError(f"Start '{start}' is not known; it is one of pretrained, scratch.")
    space = tokenizer_number_space(view.tokenizer, form).first(numbers)
    if embedding is not None:
        if start != "scratch":
            raise UserError("`embedding` replaces the token embedding of a run from scratch only.")
        donor = load_model(directory, device="cpu").embedding_parameter().detach().float()
        parameter = view.embedding_parameter()
        replacement = donor_embedding(embedding, donor, space.ids, parameter.detach().cpu().float(), seed)
        with torch.no_grad():
            parameter.copy_(replacement.to(parameter))
    if frozen:
        view.embedding_parameter().requires_grad_(False)
    return view, space
