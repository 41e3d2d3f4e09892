"""Losses and logits of what a training loop trains: one model, or several seeds as one stacked model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView
from fourier_addition.models.gpt2 import GPT2Forward, stack, supported
from fourier_addition.training.batches import Batch
from fourier_addition.training.used_rows import UsedRows


class Learner(nn.Module):
    """Losses (seed,) of a batch as a module; subclasses run the models.

    views: one model a seed. number_ids: (number,) token ids of 0..p-1. loss_on, loss_over: see
    `TrainingSettings`. used: (row,) ids of the tokens in the data, to train on the rows of these
    tokens alone; None for all rows. Raises UserError for a loss that a masked model does not have.
    """

    shares_prefixes = False
    """Whether tokens that lines of a batch share are computed once."""

    def __init__(
        self,
        views: Sequence[ModelView],
        number_ids: np.ndarray,
        loss_on: str,
        loss_over: str,
        used: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.views, self.loss_on, self.loss_over = list(views), loss_on, loss_over
        if loss_on == "line" and not views[0].causal:
            raise UserError(
                "A loss on the whole line needs a causal model; masked models predict the answer."
            )

        # Without the rows that no line uses, a token's row is no longer its id.
        self.compact = [] if used is None else [UsedRows(view, used) for view in views]
        self.lookup = self.compact[0].lookup if self.compact else None
        self.number_ids = torch.as_tensor(number_ids, dtype=torch.long, device=views[0].device)
        self.number_rows = self.rows(self.number_ids)

    @property
    def seeds(self) -> int:
        """How many models train side by side."""
        return len(self.views)

    @property
    def stacked(self) -> bool:
        """Whether the weights have a leading `seed` dimension."""
        return self.seeds > 1

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows of the embedding that token ids have, of any shape."""
        return ids if self.lookup is None else self.lookup[ids]

    def forward(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of each seed's lines, (seed,) in nats."""
        if self.loss_on == "line":
            return self.line_losses(batch)
        over_numbers = self.loss_over == "numbers"
        logits = self.logits(batch, self.number_rows if over_numbers else None)
        target = batch.answers if over_numbers else self.number_ids[batch.answers]
        return _cross_entropy(logits, target)

    def logits(self, batch: Batch, rows: torch.Tensor | None) -> torch.Tensor:
        """Logits (seed, line, row) at the reading position.

        rows: (row,) rows of the unembedding; None for the whole vocabulary.
        """
        raise NotImplementedError

    def line_losses(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of every token of the lines, their answers last, (seed,) in nats."""
        raise NotImplementedError

    def targets(self, batch: Batch) -> torch.Tensor:
        """Id of the token that follows each token of the prompts, (seed, line, token)."""
        return torch.cat([batch.ids[..., 1:], self.number_ids[batch.answers][..., None]], dim=-1)

    def in_views(self) -> None:
        """Leave the weights as they are now in the views."""

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While inside, the views are whole models with the weights as they are now, to be saved."""
        self.in_views()
        with ExitStack() as stack:
            for compact in self.compact:
                stack.enter_context(compact.whole())
            yield

    def finish(self) -> None:
        """Leave the trained weights in the views, in evaluation mode."""
        self.in_views()
        for compact in self.compact:
            compact.restore()
        for view in self.views:
            view.model.eval()


class HuggingFaceLearner(Learner):
    """One model of any family, through its own forward pass. Raises UserError for several seeds."""

    def __init__(
        self,
        views: Sequence[ModelView],
        number_ids: np.ndarray,
        loss_on: str,
        loss_over: str,
        used: np.ndarray | None = None,
    ) -> None:
        super().__init__(views, number_ids, loss_on, loss_over, used)
        if self.stacked:
            raise UserError(
                f"`stack_seeds` trains models of the family gpt2, not of {views[0].family}: leave it out."
            )
        self.model = views[0].model

    def logits(self, batch: Batch, rows: torch.Tensor | None) -> torch.Tensor:
        view = self.views[0]
        if rows is None:
            rows = torch.arange(view.vocab_size, device=view.device)
        hidden = view.final_hidden(self.rows(batch.ids[0]), batch.position)
        return view.number_logits(hidden, rows)[None]

    def line_losses(self, batch: Batch) -> torch.Tensor:
        logits = self.model(input_ids=batch.ids[0], use_cache=False).logits
        return _cross_entropy(logits.flatten(0, 1)[None], self.targets(batch).flatten(1))


class GPT2Learner(Learner):
    """GPT-2 models of one shape: one, or several seeds stacked."""

    def __init__(
        self,
        views: Sequence[ModelView],
        number_ids: np.ndarray,
        loss_on: str,
        loss_over: str,
        used: np.ndarray | None = None,
    ) -> None:
        super().__init__(views, number_ids, loss_on, loss_over, used)
        self.pass_ = GPT2Forward(views[0])
        self.pass_.sparse_lookup = (
            self.pass_.tied and not self.compact and views[0].embedding_parameter().requires_grad
        )

        # Dropout draws for every token anew, so tokens that lines share would differ.
        self.shares_prefixes = (
            not self.stacked and not any(self.pass_.dropouts) and views[0].device.type == "cpu"
        )

        # The parameters that train are the model's own, or stacked copies of the models'.
        if self.stacked:
            # A module's parameters may have no dot in their names.
            self.stack = nn.ParameterDict(
                {name.replace(".", "/"): weight for name, weight in stack(self.views).items()}
            )
        else:
            self.model = views[0].model

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Weights by name, stacked where there are several seeds."""
        if self.stacked:
            return {name.replace("/", "."): weight for name, weight in self.stack.items()}
        return dict(self.model.named_parameters())

    def _hidden(self, batch: Batch, weights: Mapping[str, torch.Tensor], last_only: bool) -> torch.Tensor:
        """States after the final norm; see `GPT2Forward.hidden`."""
        ids = self.rows(batch.ids if self.stacked else batch.ids[0])
        return self.pass_.hidden(
            weights, ids, last_only=last_only, shared=batch.shared, training=self.training
        )

    def logits(self, batch: Batch, rows: torch.Tensor | None) -> torch.Tensor:
        weights = self.weights()
        logits = self.pass_.logits(weights, self._hidden(batch, weights, last_only=True), rows)
        return logits if self.stacked else logits[None]

    def line_losses(self, batch: Batch) -> torch.Tensor:
        weights = self.weights()
        logits = self.pass_.logits(weights, self._hidden(batch, weights, last_only=False), None)
        target = self.targets(batch).flatten(1)
        if batch.shared is None:
            return _cross_entropy(logits if self.stacked else logits[None], target)

        # One row of logits for all tokens that share it; each has its own next token.
        node = batch.shared.node.flatten()
        logits = logits.float()
        return (logits.logsumexp(dim=-1)[node] - logits[node, target[0]]).mean()[None]

    @torch.no_grad()
    def in_views(self) -> None:
        """Leave the weights as they are now in the views: stacked ones are copied there."""
        if self.stacked:
            for seed, view in enumerate(self.views):
                for name, weight in view.model.named_parameters():
                    weight.copy_(self.stack[name.replace(".", "/")][seed])


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """logits: (seed, line, class), target: (seed, line) -> mean over lines, (seed,)."""
    seeds, lines, classes = logits.shape
    each = F.cross_entropy(logits.float().reshape(-1, classes), target.reshape(-1), reduction="none")
    return each.view(seeds, lines).mean(dim=1)


def learner_for(
    views: Sequence[ModelView],
    number_ids: np.ndarray,
    loss_on: str,
    loss_over: str,
    used: np.ndarray | None = None,
) -> Learner:
    """The fastest learner that computes what these models compute; see `Learner`."""
    kind = GPT2Learner if supported(views[0]) else HuggingFaceLearner
    return kind(views, number_ids, loss_on, loss_over, used)
