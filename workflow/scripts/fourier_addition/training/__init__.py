"""Training and pre-training of small and large models on one task."""
