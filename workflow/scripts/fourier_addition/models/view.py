"""One object for every architecture: where its parts are, its number rows, its logits and its passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers import Cache

from fourier_addition.errors import UserError
from fourier_addition.models.encoding import Bucket, Encoded, bucket, encode_causal, encode_masked
from fourier_addition.models.families import family_of, final_norm_module, position_limit
from fourier_addition.models.quiet import quiet
from fourier_addition.modules import MODULES

Ids = torch.Tensor | np.ndarray | Sequence[int]


def first_tensor(output: Any) -> torch.Tensor:
    """The tensor of a module's output, which may be the first entry of a tuple."""
    return cast(torch.Tensor, output[0] if isinstance(output, tuple) else output)


class ModelView:
    """A Hugging Face model and its tokenizer behind names that hold for every family.

    model, tokenizer: the Hugging Face objects.
    family: a key of `FAMILIES`. layout: the record of `FAMILIES` that says where the model's parts are.
    causal: read at the last token; otherwise at the mask token.
    n_layers, d_model, vocab_size: depth, width of the residual stream, number of tokens.
    parallel: attention and MLP of a layer read the same residual state.
    post_norm: h = LN(h + out), so module outputs do not sum to the final state.
    reusable_cache: keys and values of earlier tokens can be reused.
    fresh_parameters: names of the parameters that the loaded file lacked and that were
        drawn from a seed (the head of a masked model saved without one).
    """

    def __init__(self, model: nn.Module, tokenizer: Any, fresh_parameters: Sequence[str] = ()) -> None:
        # Hugging Face gives its models attributes that its types do not know.
        self.model: Any = model
        self.tokenizer = tokenizer
        self.fresh_parameters = tuple(fresh_parameters)

        # What the family decides
        self.layout = family_of(self.model.config)
        self.family = self.layout.name
        self.causal = not self.layout.masked
        self.reusable_cache = self.causal
        self.post_norm = self.layout.block_norms is not None
        self.parallel = self._parallel()

        # What the model itself tells
        self.blocks = cast(nn.ModuleList, model.get_submodule(self.layout.blocks))
        self.n_layers = len(self.blocks)
        self.vocab_size, self.d_model = self.embedding_parameter().shape
        self.final_norm: Any = final_norm_module(model, self.layout)

    def _parallel(self) -> bool:
        said = self.layout.parallel
        return said == "always" if said in ("always", "never") else bool(getattr(self.model.config, said))

    # The model may be moved or cast after it was wrapped, so these are asked for each time.
    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.embedding_parameter().device

    @property
    def devices(self) -> set[str]:
        """Every device that holds weights; several where the model is spread over GPUs."""
        return {str(parameter.device) for parameter in self.model.parameters()}

    def on_one_device(self, what: str) -> None:
        """Raise UserError that names `what` when the model is spread over several devices."""
        if len(self.devices) > 1:
            raise UserError(
                f"{what} need a model on one device; leave out `device_map`, or use a smaller `precision`."
            )

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.embedding_parameter().dtype

    @property
    def tied(self) -> bool:
        """Whether input and output embeddings are one tensor."""
        return self.unembedding_parameter() is self.embedding_parameter()

    # Prompts

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a text: the tokenizer's, and those of the model's own settings of generation."""
        stated = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        ids = [self.tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])]
        return frozenset(each for each in ids if each is not None)

    def encode(self, prompts: Sequence[str]) -> list[Encoded]:
        """Token ids and reading position of each prompt.

        Causal families: the tokenizer's own special tokens, read at the last token.
        Masked families: `[CLS] prompt [MASK] [SEP]`, read at the mask.
        Raises UserError for a prompt with no tokens, with more than the model has positions, or with a token
        that the model's embedding lacks.
        """
        encoded = (encode_causal if self.causal else encode_masked)(self.tokenizer, prompts)
        limit = self.position_limit
        for prompt, (ids, position) in zip(prompts, encoded, strict=True):
            # a causal model would read its opening token, which no prompt wrote
            if position < 0:
                raise UserError(f"The prompt {prompt!r} has no tokens.")
            if limit is not None and len(ids) > limit:
                raise UserError(
                    f"The prompt that starts with {prompt[:40]!r} has {len(ids)} tokens; "
                    f"the model has {limit} positions."
                )
        self._require_tokens(max((max(ids) for ids, _ in encoded), default=0))
        return encoded

    @property
    def position_limit(self) -> int | None:
        """Most tokens of a prompt with its answer, None where the configuration does not say."""
        return position_limit(self.model.config, self.layout)

    def _require_tokens(self, largest: int) -> None:
        """Raise UserError for a token id beyond the embedding: tokens were added without resizing."""
        if largest >= self.vocab_size:
            token = self.tokenizer.convert_ids_to_tokens(largest)
            raise UserError(
                f"The tokenizer writes the token {token!r} with id {largest}, but the model's embedding "
                f"has {self.vocab_size} rows: tokenizer and model are of different models, or tokens were "
                "added without resizing the embedding."
            )

    def buckets(self, encoded: Sequence[Encoded], batch_size: int) -> Iterator[Bucket]:
        """Batches of equal length and reading position, longest first, without padding."""
        return bucket(encoded, batch_size, self.device)

    # Modules

    def block(self, layer: int) -> nn.Module:
        """Block `layer` (from 0); its (first) output is the residual stream after it."""
        return self.blocks[layer]

    def attention_module(self, layer: int) -> nn.Module:
        """Module whose (first) output is what attention adds to the residual stream.

        With post norms on module outputs (gemma2, gemma3, olmo2) it is that norm; in
        post-norm families (bert, roberta) the dense layer before LN(h + out).
        """
        return self.block(layer).get_submodule(self.layout.attention.output)

    def mlp_module(self, layer: int) -> nn.Module:
        """Module whose (first) output is what the MLP adds to the residual stream."""
        return self.block(layer).get_submodule(self.layout.mlp.output)

    def module(self, kind: str, layer: int) -> nn.Module:
        """`attention_module` or `mlp_module` by its name in `MODULES`."""
        if kind not in MODULES:
            raise UserError(f"Module {kind!r} is not known; allowed are {', '.join(MODULES)}.")
        return self.attention_module(layer) if kind == "attention" else self.mlp_module(layer)

    def block_norms(self, layer: int) -> tuple[nn.Module, nn.Module]:
        """Post-norm families: the norms after attention and after the MLP of a block.

        Raises UserError for the other families.
        """
        if self.layout.block_norms is None:
            raise UserError(f"The blocks of family {self.family} do not follow h = LN(h + out).")
        attention, mlp = self.layout.block_norms
        block = self.block(layer)
        return block.get_submodule(attention), block.get_submodule(mlp)

    def embedding_parameter(self) -> nn.Parameter:
        """Input embedding, (token, d_model)."""
        return cast(nn.Parameter, self.model.get_input_embeddings().weight)

    def unembedding_parameter(self) -> nn.Parameter:
        """Output embedding, (token, d_model); the input embedding itself when `tied`."""
        return cast(nn.Parameter, self.model.get_output_embeddings().weight)

    # Numbers

    def final_norm_gain(self) -> torch.Tensor:
        """Gain of the final norm, (d_model,) float32, detached; 1 + weight for gemma.

        Ones where `final_norm_gain_defined` is false: there a small network, not a gain,
        stands between the residual stream and the unembedding.
        """
        if not self.final_norm_gain_defined:
            return torch.ones(self.d_model, device=self.device)
        gain: torch.Tensor = self.final_norm.weight.detach().to(self.device, torch.float32)
        return gain + self.layout.gain_offset

    @property
    def final_norm_gain_defined(self) -> bool:
        """Whether the final norm is a normalisation followed by a gain."""
        return self.layout.dense_head is None

    def unembedding(self, ids: Ids) -> torch.Tensor:
        """Rows of the unembedding W_U (section 2 of the paper), (number, d_model) float32, detached."""
        self._require_tokens(int(torch.as_tensor(ids).max()))
        return self._rows(self.unembedding_parameter(), ids).detach().to(self.device, torch.float32)

    def unembedding_bias(self, ids: Ids) -> torch.Tensor | None:
        """Bias of the unembedding, (number,) float32, detached; None where there is none."""
        bias = self.model.get_output_embeddings().bias
        return None if bias is None else self._rows(bias, ids).detach().to(self.device, torch.float32)

    def folded_unembedding(self, ids: Ids) -> torch.Tensor:
        """W_U with what stands before it folded in, (number, d_model) float32, detached.

        Causal models: W_U diag(g), g the gain of the final norm, whose division by a deviation is one
        factor for all numbers. Masked models have a dense layer D, a GELU and a norm there:
        W_U diag(g) D. The GELU is z / 2 plus an even function of z: its linear part is one factor too.
        """
        rows = self.unembedding(ids)
        head = self.layout.dense_head
        if head is None:
            return rows * self.final_norm_gain()
        gain, dense = (
            cast(torch.Tensor, self.final_norm.get_submodule(name).weight).detach().to(rows)
            for name in (head.norm, head.dense)
        )
        return (rows * gain) @ dense

    def module_unembedding(self, ids: Ids, norm: str) -> torch.Tensor:
        """The rows that read module outputs as logits, (number, d_model) float32, detached.

        norm: `raw` is W_U as the paper writes, `folded` is `folded_unembedding`.
        """
        return self.folded_unembedding(ids) if norm == "folded" else self.unembedding(ids)

    def input_embedding(self, ids: Ids) -> torch.Tensor:
        """Rows of the input embedding parameter, (number, d_model) float32, detached.

        gemma multiplies them by sqrt(d_model) on their way into the stream; these are not.
        """
        return self._rows(self.embedding_parameter(), ids).detach().float()

    def normed(self, residual: torch.Tensor) -> torch.Tensor:
        """Final norm of residual states (..., d_model), in the type of the weights."""
        return cast(torch.Tensor, self.final_norm(residual.to(self.dtype)))

    def number_logits(self, residual: torch.Tensor, number_ids: Ids, *, norm: bool = True) -> torch.Tensor:
        """Logits of the numbers, (..., number) float32.

        residual: (..., d_model) states of the residual stream (or module outputs).
        norm: apply the final norm first; without it, this is W_U x of the paper.
        Adds the unembedding's bias and applies final soft-capping where the model has
        them. Products are summed in float32. Keeps gradients.
        """
        hidden = self.normed(residual) if norm else residual
        head = self.model.get_output_embeddings()
        hidden = hidden.float()
        logits = hidden @ self._rows(head.weight, number_ids).to(hidden).T
        if head.bias is not None:
            logits = logits + self._rows(head.bias, number_ids).to(hidden)
        return self._capped(logits)

    def vocabulary_summary(
        self, residual: torch.Tensor, *, rows_at_once: int = 8192
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Argmax (example,) int64 and log-sum-exp (example,) float32 over the whole vocabulary.

        residual: (example, d_model) states after the last block; the final norm is applied.
        rows_at_once: tokens whose logits exist at one time.
        """
        hidden = self.normed(residual).float()
        head = self.model.get_output_embeddings()

        # What is known of the tokens so far: the largest logit, its token, the log-sum-exp.
        best = torch.full(hidden.shape[:1], -torch.inf, device=hidden.device)
        token = torch.zeros(hidden.shape[:1], dtype=torch.long, device=hidden.device)
        total = torch.full(hidden.shape[:1], -torch.inf, device=hidden.device)

        for start in range(0, head.weight.shape[0], rows_at_once):
            part = slice(start, start + rows_at_once)
            logits = hidden @ head.weight[part].to(hidden).T
            if head.bias is not None:
                logits = logits + head.bias[part].to(hidden)
            logits = self._capped(logits)

            # Take the part's tokens into account.
            value, index = logits.max(dim=-1)
            # strictly greater: of equal logits the smaller token id wins, as in one argmax
            token = torch.where(value > best, index + start, token)
            best = torch.maximum(best, value)
            total = torch.logaddexp(total, logits.logsumexp(dim=-1))
        self.require_finite(total)
        return token, total

    def require_finite(self, values: torch.Tensor) -> None:
        """Raise UserError when logits, or sums of them, are not finite: no answer can be read off them."""
        if not torch.isfinite(values).all():
            stored = str(self.dtype).removeprefix("torch.")
            hint = "" if self.dtype == torch.float32 else "; set the model's `precision` to float32"
            raise UserError(f"The model's logits are not finite as {stored}{hint}.")

    # Forward

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """While inside, the model is in evaluation mode; afterwards in the mode that it was in."""
        training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(training)

    def run(self, ids: torch.Tensor, *, past: Cache | None = None) -> None:
        """Run the model's body on (batch, token) ids, for the hooks' sake.

        No vocabulary logits are computed. past: keys and values of the tokens before
        `ids`, for as many rows; it grows by those of `ids`.
        """
        self.model.base_model(input_ids=ids, past_key_values=past, use_cache=past is not None)

    def final_hidden(self, ids: torch.Tensor, position: int, *, past: Cache | None = None) -> torch.Tensor:
        """Residual stream after the last block at one position, (batch, d_model).

        ids: (batch, token). past: keys and values of the tokens before them; it grows by theirs.
        Before the final norm; no vocabulary logits are computed. Keeps gradients, and hooks on
        modules take effect.
        """
        state: list[torch.Tensor] = []
        handle = self.block(self.n_layers - 1).register_forward_hook(
            lambda module, arguments, output: state.append(first_tensor(output)[:, position])
        )
        try:
            self.run(ids, past=past)
        finally:
            handle.remove()
        return state[0]

    # Files

    def save(self, directory: str | Path) -> None:
        """Write configuration, safetensors weights and tokenizer to `directory`."""
        with quiet():
            self.model.save_pretrained(directory)
            self.tokenizer.save_pretrained(directory)

    def _rows(self, parameter: torch.Tensor, ids: Ids) -> torch.Tensor:
        return parameter[torch.as_tensor(ids, dtype=torch.long, device=parameter.device)]

    def _capped(self, logits: torch.Tensor) -> torch.Tensor:
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap
