"""A trace and a machine to memory, time, verdict and advice."""
