"""Ablation that computes once what conditions and prompts share."""
