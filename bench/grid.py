"""The part of a record that says how a step would be at other batches, precisions and with checkpointing (`--what-if`).

Columns of one length instead of rows of names: a grid of some sixty cells stays small in a file.
"""

from sslbench.bench.quantities import Part, Verdict
from sslbench.bench.recipe import Precision


class Settings(Part):
    """One precision, with or without activation checkpointing, at every batch of the grid; null where `unknown`."""

    precision: Precision
    activation_checkpointing: bool
    max_batch_size: int | None
    """Largest batch predicted to fit, of any and not of the grid's alone; 0 where not even one sample does."""
    verdicts: list[Verdict | None]
    required_bytes: list[int | None]
    interval_bytes: list[tuple[int, int] | None]
    """90 % intervals of `required_bytes`."""
    step_seconds: list[float | None]
    interval_seconds: list[tuple[float, float] | None]
    """90 % intervals of `step_seconds`."""
    samples_per_second: list[float | None]
    """On all devices."""
    run_seconds: list[float | None]
    """Of the recipe's budget, where it has one."""
    rent_usd: list[float | None]
    """Of the same, where the machine has a rent."""
    unknown: list[str]
    """Why a cell could not be computed; empty where it could."""


class WhatIf(Part):
    """The recipe's step on the record's machine with other settings, predicted."""

    batch_sizes: list[int]
    """From small to large; the recipe's own is one of them."""
    settings: list[Settings]
    """The recipe's own are among them."""
