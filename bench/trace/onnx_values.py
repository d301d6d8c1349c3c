"""What an optimised ONNX graph holds: operators in the order of execution and their values. Plain data, no torch."""

from dataclasses import dataclass
from typing import Any

from sslbench.bench.trace.events import Shape


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the graph."""

    dtype: str
    shape: Shape
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the graph."""

    operator: str
    """With its domain where that is not ONNX's own: `com.microsoft.SkipLayerNormalization`."""
    inputs: tuple[str, ...]
    """Names of values; empty where an optional input is left out."""
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """An optimised graph: operators in the order of execution, with the values that they pass on."""

    nodes: tuple[Node, ...]
    values: dict[str, Value]
    """Every value by name: inputs, weights, results."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...]
    """Initialisers, folded constants with them."""
    parameters: int
    """Parameter elements of the module that was exported, tied ones counted once."""
