"""A training step as one graph without side effects: state, batch and draws in, loss and new state out. Imports torch.

Two passes. The first runs the step itself, with its real tensors, and notes every operator, down to the backward pass
and the update in place (`make_fx`, with real tensors so that nothing has to be built twice). The second takes the
changes in place out (`torch.func.functionalize`) and decomposes what has no ONNX translation, on tensors without data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import fx
from torch.fx import traceback
from torch.fx.experimental.proxy_tensor import make_fx
from transformers import masking_utils

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.backward import aten, decompositions, view
from sslbench.bench.onnx.draws import Draw, Draws
from sslbench.bench.onnx.in_place import decompositions_in_place
from sslbench.bench.onnx.step import ExportStep

LOSS = "loss"
UPDATED = "updated."
"""Before the name of a state in the name of the output that has its new value."""
_COPIES = (aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)


@dataclass(frozen=True, slots=True)
class Captured:
    """A step as a graph; `names` and `tensors` are of its placeholders, in order."""

    module: fx.GraphModule
    tensors: dict[str, torch.Tensor]
    """Every input that the graph uses, by name, with a value of its shape and type."""
    outputs: list[str]
    """`LOSS`, then `UPDATED` + name of every state that the step changes."""
    constants: frozenset[str]
    """Inputs whose value belongs to the graph."""


def capture(step: ExportStep, draws: list[Draw]) -> Captured:
    """The step as a graph; it is run once for that, and so changes its state.

    Args:
        step: has been run before.
        draws: as many, of the same shapes, as a step uses; their values do not matter.

    Raises:
        MeasureError: the step's operators depend on values of tensors, or it changes a tensor that is no state.
    """
    state = step.state()
    tensors = {**state, **step.inputs(), **{f"draw.{index}": draw.values for index, draw in enumerate(draws)}}
    traced, names = _trace(step, tensors, draws)
    constants = _lift_constants(traced)
    tensors |= constants
    values = [tensor.detach() for tensor in tensors.values()]
    functional = torch.func.functionalize(traced, remove="mutations")
    module = decomposed(functional, values, decompositions())
    changed = _take_out_writes(module, list(tensors))
    stray = changed - set(state)
    if stray:
        raise MeasureError(f"the step changes a tensor that is no state of its network: {', '.join(sorted(stray))}")
    return _finished(module, tensors, names, constants)


def decomposed(
    function: Callable[..., Any], values: Sequence[torch.Tensor], table: Mapping[Any, Callable[..., Any]]
) -> fx.GraphModule:
    """A functional graph of a function, traced on tensors without data, without nodes that only pass a tensor on."""
    with torch.no_grad(), traceback.preserve_node_meta():  # which has the operator that a node was decomposed from
        module = make_fx(function, tracing_mode="fake", decomposition_table={**table, aten.view.default: view})(*values)
    for node in list(module.graph.nodes):
        if node.target in _COPIES:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()
    return module


def _trace(step: ExportStep, tensors: dict[str, torch.Tensor], draws: list[Draw]) -> tuple[fx.GraphModule, list[str]]:
    names = [LOSS, *(UPDATED + name for name in step.state())]

    def run(*_: torch.Tensor) -> list[torch.Tensor]:
        # The arguments are the step's own tensors: the tracer knows them by identity wherever the step meets them.
        loss = step.run(Draws(step.homes, draws))
        return [loss, *step.state().values()]

    try:
        # Attention masks are otherwise left out where their values, which a graph does not know, allow it.
        with mock.patch.object(masking_utils, "is_tracing", lambda *_: True):
            make = make_fx(run, tracing_mode="real", decomposition_table=decompositions_in_place())
            traced = make(*tensors.values())
    except RuntimeError as error:
        if "get value out of a tracing tensor" in str(error):
            operator = str(error).partition(" with ")[2].partition(" - ")[0]
            raise MeasureError(
                f"cannot be exported for training: {step.homes.of(operator)} decides by the value of a tensor "
                f"({operator}), which one fixed graph cannot"
            ) from error
        raise
    for node in reversed(traced.graph.nodes):
        if getattr(node.target, "namespace", "") == "profiler":  # of torch.optim.Optimizer
            traced.graph.erase_node(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced, names


def _lift_constants(module: fx.GraphModule) -> dict[str, torch.Tensor]:
    """Turn tensors that the step has from nowhere into placeholders behind the others."""
    last = [node for node in module.graph.nodes if node.op == "placeholder"][-1]
    found: dict[str, torch.Tensor] = {}
    holders: dict[str, fx.Node] = {}
    for node in [node for node in module.graph.nodes if node.op == "get_attr"]:
        target = str(node.target)
        if target not in holders:
            with module.graph.inserting_after(last):
                holders[target] = last = module.graph.placeholder(f"constant_{len(holders)}")
            found[f"constant.{len(found)}"] = getattr(module, target)
        node.replace_all_uses_with(holders[target])
        module.graph.erase_node(node)
    module.recompile()
    return found


def _take_out_writes(module: fx.GraphModule, names: list[str]) -> set[str]:
    """Remove the writes into inputs at the end of a functionalised graph; the names of those inputs."""
    holders = [node for node in module.graph.nodes if node.op == "placeholder"]
    name_of = dict(zip(holders, names, strict=True))
    written = set()
    for node in list(module.graph.nodes):
        if node.target is aten.copy_.default:
            written.add(name_of.get(node.args[0], str(node.args[0])))
            node.replace_all_uses_with(node.args[1])
            module.graph.erase_node(node)
    module.recompile()
    return written


def _finished(
    module: fx.GraphModule, tensors: dict[str, torch.Tensor], names: list[str], constants: dict[str, torch.Tensor]
) -> Captured:
    """The graph with only the outputs that change, each a node of its own, and only the inputs that are used."""
    graph = module.graph
    output = graph.output_node()
    holders = {node for node in graph.nodes if node.op == "placeholder"}
    kept, outputs, seen = [], [], set(holders)
    for name, node in zip(names, output.args[0], strict=True):  # type: ignore[arg-type]
        if node in holders:
            continue
        if node in seen:  # two states with one value, such as a teacher that copies its student
            with graph.inserting_before(output):
                node = _clone(graph, node)  # noqa: PLW2901
        seen.add(node)
        kept.append(node)
        outputs.append(name)
    output.args = (tuple(kept),)
    graph.eliminate_dead_code()
    used = {}
    for holder, (name, tensor) in zip([n for n in graph.nodes if n.op == "placeholder"], tensors.items(), strict=True):
        if holder.users or UPDATED + name in outputs:
            used[name] = tensor
        else:
            graph.erase_node(holder)
    module.recompile()
    return Captured(module, used, outputs, frozenset(constants) & frozenset(used))


def _clone(graph: fx.Graph, node: Any) -> fx.Node:
    clone = graph.call_function(aten.clone.default, (node,))
    clone.meta.update(node.meta)
    return clone
