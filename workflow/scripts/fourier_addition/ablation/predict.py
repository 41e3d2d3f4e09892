"""From final residual states to predictions and losses."""

from __future__ import annotations

import torch

from fourier_addition.models import ModelView

PREDICTIONS = ("numbers", "vocabulary")


class AnswerPredictor:
    """Prediction and cross entropy of the answer, over the numbers or over the vocabulary.

    number_ids: (number,) token ids of 0..p-1. prediction: `numbers` takes the softmax and the
    argmax over the number tokens only, `vocabulary` over all tokens.
    """

    def __init__(self, view: ModelView, number_ids: torch.Tensor, prediction: str) -> None:
        self.view = view
        self.number_ids = number_ids
        self.prediction = prediction
        if prediction == "vocabulary":
            self.number_of = torch.full((view.vocab_size,), -1, dtype=torch.int64, device=view.device)
            self.number_of[number_ids] = torch.arange(len(number_ids), device=view.device)

    def __call__(self, hidden: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden: (state, example, d_model) after the last block; answers: (example,) numbers.

        Returns (state, example) predicted numbers, int64, -1 for a token that is no number, and
        (state, example) losses in nats, float32.
        """
        # The answer's logit under every state; (total - answer) is its cross entropy.
        shape = hidden.shape[:2]
        flat = hidden.reshape(-1, hidden.shape[-1])
        logits = self.view.number_logits(flat, self.number_ids)
        answer = logits.gather(1, answers.repeat(shape[0])[:, None])[:, 0]

        # The likeliest token and the log-sum-exp, over the numbers or over all tokens
        if self.prediction == "numbers":
            number, total = logits.argmax(dim=1), logits.logsumexp(dim=1)
            self.view.require_finite(total)
        else:
            token, total = self.view.vocabulary_summary(flat)
            number = self.number_of[token]

        return number.reshape(shape), (total - answer).reshape(shape)
