"""Fixtures for pytest, installed with sslbench: a traced step, and a measured one.

Nothing heavy is imported until one is used::

    def test_fits_the_small_cards(traced_step):
        step = traced_step("my_step.py:build", batch_size=64)
        assert step.peak_bytes("cuda") < 20 * 2**30

    def test_speed(measured_step):
        measured_step("my_step.py:build", batch_size=8)  # a benchmark of pytest-benchmark
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sslbench.bench.tested import MeasuredStep, TracedStep


@pytest.fixture(scope="session")
def traced_step() -> "Callable[..., TracedStep]":
    """`traced_step(recipe, **changes)`: what the step needs on any kind of device, exactly, without running it.

    The recipe is a catalog name, a recipe TOML, `file.py:function`, or the function itself; changes are fields of the
    recipe (batch_size, precision, ...) or parameters of the objective or of the function.
    """
    from sslbench.bench.tested import TracedStep  # noqa: PLC0415 - nothing is imported for tests that use none of it

    return TracedStep


@pytest.fixture
def measured_step(request: pytest.FixtureRequest) -> "Callable[..., MeasuredStep]":
    """`measured_step(recipe, backend=None, **changes)`: runs the step here, as a benchmark of pytest-benchmark.

    Its options (`--benchmark-compare`, `--benchmark-autosave`, ...) hold. Memory, energy and environment stand in the
    benchmark's `extra_info`.
    """
    try:
        benchmark = request.getfixturevalue("benchmark")
    except pytest.FixtureLookupError:
        pytest.fail("the fixture measured_step needs pytest-benchmark: pip install pytest-benchmark", pytrace=False)
    from sslbench.bench.tested import measure_in_test  # noqa: PLC0415 - imports torch

    def measured(recipe: Any, *, backend: str | None = None, **changes: Any) -> "MeasuredStep":
        return measure_in_test(benchmark, recipe, backend, changes)

    return measured
