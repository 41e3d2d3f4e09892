"""Activations of a model at the reading position, written to chunked Zarr arrays and read back."""
