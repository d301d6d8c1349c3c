"""Micro-kernels that characterise a machine: what one call of a kernel takes, by its sizes."""
