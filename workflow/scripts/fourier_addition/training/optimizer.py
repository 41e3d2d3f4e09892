"""AdamW and the clipping of gradients, of one seed's weights or of several seeds stacked."""

from __future__ import annotations

import torch

from fourier_addition.training.learners import Learner
from fourier_addition.training.settings import TrainingSettings


def optimizer_for(learner: Learner, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW over the parameters that train; gains and biases do not decay."""
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    # Stacked gains and biases have a `seed` dimension in front.
    vector = 1 + learner.stacked
    groups = [
        {"params": [p for p in trained if p.dim() > vector], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= vector], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        fused=True,
    )


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float, *, stacked: bool) -> None:
    """Scale the gradients down to the norm `limit`; of stacked seeds each by its own norm."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not stacked:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, torch.clamp(limit / (norm + 1e-6), max=1.0))
        return

    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
    scales = torch.clamp(limit / (norms.norm(dim=0) + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(scales.view(-1, *[1] * (gradient.dim() - 1)))
