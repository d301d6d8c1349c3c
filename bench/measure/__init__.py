"""Runs steps in a worker process and samples memory, time and energy."""
