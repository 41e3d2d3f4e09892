"""Ablation at the last token that computes once what conditions and prompts share."""
