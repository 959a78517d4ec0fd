"""Kernels of a run: real ipykernel processes that start with the scientific libraries already loaded."""
