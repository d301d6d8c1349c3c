"""A measurement that may fail: what goes wrong in a worker becomes a record, so that a sweep can go on."""

from collections.abc import Sequence
from typing import Any

from sslbench.bench.measure.failed import FailedMeasurementError
from sslbench.bench.measure.manager import measuring
from sslbench.bench.measure.predicted import with_prediction, without_prediction
from sslbench.bench.measure.waiting import Turns, at_once
from sslbench.bench.quantities import Backend
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record

_WORTH_PREDICTING = ("out-of-memory", "killed")  # where a step raises or hangs, so it would while it is predicted


def attempting(
    recipe: Recipe, *, backend: Backend, command: Sequence[str], predict: bool = True, **options: Any
) -> Turns[Record]:
    """Measure, or record why that failed: `failure` is then set, and what was not measured is null.

    Args:
        recipe: what is run.
        backend: where.
        command: the sslbench arguments that make the record again.
        predict: whether the record gets the prediction for the same step: where memory ran out, too.
        options: the others of `measuring`.

    Raises:
        MeasureError: what was asked for is not there or makes no sense: no step could run, whatever its size.
        RecipeError: the recipe was found wrong before a worker began.
    """
    try:
        return (yield from measuring(recipe, backend=backend, command=command, predict=predict, **options))
    except FailedMeasurementError as error:
        record = error.record
        worth_predicting = error.kind in _WORTH_PREDICTING
    if not predict:
        return without_prediction(record, "not asked for")
    if not worth_predicting:
        return without_prediction(record, "the step did not run")
    limit, devices = options.get("memory_limit_bytes"), options.get("devices", 1)
    return with_prediction(record, devices=devices, memory_limit_bytes=limit, progress=options.get("progress"))


attempt = at_once(attempting)
"""The same for one measurement by itself; returns its record."""
