"""Recipe and machines to predictions of inference in ONNX Runtime on a CPU."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import MachineError, RecipeError
from sslbench.bench.onnx.cache import ModelCache, model_folder
from sslbench.bench.predict.onnx_explain import explain_onnx
from sslbench.bench.predict.onnx_memory import predict_onnx_memory, predict_onnx_time
from sslbench.bench.predict.prediction import work_of
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.trace.onnx_plan import plan
from sslbench.bench.trace.onnx_trace import trace_of
from sslbench.bench.trace.onnx_values import OnnxGraph
from sslbench.hardware_profiles.schema import Machine

_UNKNOWN = {
    "energy.joules_per_step": "predicted from no power model yet: measure with `sslbench profile`",
    "max_batch_size": "not searched for ONNX Runtime: each batch needs an export of its own",
    "memory.allocated_interval_bytes": "exact by the runtime's plan, but for kernels' scratch memory",
    "memory.peak_reserved_bytes": "the arena also reserves what it never writes to; the rest is in required_bytes",
}


def fit_onnx(
    recipe: Recipe, machines: Sequence[Machine], *, command: list[str], explained: bool = False, keep: bool = True
) -> list[Record]:
    """Predict a recipe's inference step in ONNX Runtime on each machine's processor.

    Args:
        recipe: what is run; its stage is `infer`.
        machines: where.
        command: the sslbench arguments that ask this, for the records.
        explained: whether the records say what they rest on.
        keep: whether the exported model is kept, and taken if it is there.

    Raises:
        MachineError: a machine computes on a GPU.
        RecipeError: the recipe trains, is a factory, or is not in fp32.
        TraceError: the module cannot be exported.
    """
    check(recipe, machines)
    from sslbench.bench.trace.onnx_graph import recipe_graph  # noqa: PLC0415 - imports torch

    graph = recipe_graph(recipe, ModelCache(model_folder() if keep else None))
    return [predict_graph(recipe, machine, graph, command, explained=explained) for machine in machines]


def check(recipe: Recipe, machines: Sequence[Machine]) -> None:
    """Refuse what has no prediction before anything is built.

    Raises:
        MachineError, RecipeError: as `fit_onnx`.
    """
    if recipe.factory:
        raise RecipeError(
            f"{recipe.name}: a step of one's own has no model that could be exported: leave --backend onnx-cpu away"
        )
    if recipe.stage != "infer":
        raise RecipeError(
            f"recipe {recipe.name}: --backend onnx-cpu predicts inference only: add --stage infer, "
            "or leave --backend away to train with PyTorch"
        )
    if recipe.precision not in ("fp32", "tf32"):
        raise RecipeError(
            f"recipe {recipe.name}: --backend onnx-cpu predicts fp32 only, not {recipe.precision}: add --precision "
            "fp32, or measure it with `sslbench profile`"
        )
    for machine in machines:
        if machine.device.kind != "cpu":
            raise MachineError(
                f"machine {machine.name}: --backend onnx-cpu predicts processors, this one computes on a GPU "
                f"({machine.device.kind}): name a machine such as laptop-16gb"
            )


def predict_graph(
    recipe: Recipe, machine: Machine, graph: OnnxGraph, command: list[str], *, explained: bool = False
) -> Record:
    """The prediction for one machine, from the recipe's exported graph; arguments as of `fit_onnx`."""
    buffers = plan(graph)
    trace = trace_of(graph, buffers, recipe.batch_size)
    predicted = predict_onnx_memory(graph, buffers, trace, machine)
    return Record(
        kind="prediction",
        created=datetime.now(UTC),
        backend="onnx-cpu",
        recipe=recipe,
        machine=machine,
        environment=describe_environment(),
        command=command,
        memory=predicted.memory,
        time=predict_onnx_time(trace, machine),
        work=work_of(trace),
        verdict=predicted.verdict,
        probability_fits=predicted.probability_fits,
        explain=explain_onnx(trace, machine) if explained else None,
        unknown=_UNKNOWN,
    )
