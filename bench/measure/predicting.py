"""Predicts what a recipe takes on a machine, as `sslbench fit` does. Part of the worker.

A process of its own: the step of a prediction may be the user's own code, which shall cost a finished measurement
nothing, and a parent that imported torch would hold memory during the measurements that follow.
"""

from typing import Any

from sslbench.bench.fit import TraceSource, predict_on, with_defaults
from sslbench.bench.fit_onnx import check, predict_graph
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.onnx.cache import ModelCache, model_folder
from sslbench.bench.predict.peak import main_dtype
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.bench.trace.events import Trace
from sslbench.bench.trace.onnx_plan import plan
from sslbench.bench.trace.onnx_trace import trace_of
from sslbench.hardware_profiles.schema import Machine


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Predict; the outcome has the record and the type that most of the step's FLOP are of.

    Raises:
        SSLBenchError: the step cannot be traced, or not be predicted for the machine.
    """
    reporter.phase("prediction")
    recipe, machine = Recipe.model_validate(spec.recipe), Machine.model_validate(spec.machine)
    record, trace = (_onnx if spec.backend.startswith("onnx") else _torch)(recipe, machine)
    table: dict[str, Any] = {"record": record.model_dump(mode="json"), "peak": main_dtype(trace, machine.device)}
    return Outcome(prediction=table)


def _torch(recipe: Recipe, machine: Machine) -> tuple[Record, Trace]:
    recipe = with_defaults(recipe)
    source = TraceSource(recipe, TraceCache(cache_folder()))
    record = predict_on(recipe, machine, source, [])
    return record, source.trace(machine.device, recipe.batch_size)


def _onnx(recipe: Recipe, machine: Machine) -> tuple[Record, Trace]:
    check(recipe, [machine])
    from sslbench.bench.trace.onnx_graph import recipe_graph  # noqa: PLC0415 - imports torch

    graph = recipe_graph(recipe, ModelCache(model_folder()))
    return predict_graph(recipe, machine, graph, []), trace_of(graph, plan(graph), recipe.batch_size)
