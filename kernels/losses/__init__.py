"""Losses that objectives share, and memory-lean exact forms of the big ones."""
