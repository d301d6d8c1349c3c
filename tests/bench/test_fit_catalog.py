"""`fit` answers for every recipe of the catalog, trained and inferred, on a GPU and on a CPU."""

import pytest

from sslbench.bench.fit import fit
from sslbench.bench.machines import find_machine
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache
from sslbench.kernels.catalog import recipe_tables


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_tables())
@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"stage": "infer"}], ids=["train-bf16", "infer"])
def test_every_recipe_is_predicted_for_a_gpu_and_a_cpu(name, changes):
    recipe = resolve_recipe(name, changes)
    machines = [find_machine("h100"), find_machine("laptop-16gb")]
    for record in fit(recipe, machines, cache=TraceCache(None), command=[]):
        assert record.verdict in ("fits", "tight", "does-not-fit")
        assert record.memory.interval_bytes[0] < record.memory.required_bytes < record.memory.interval_bytes[1]
        assert record.time.step_seconds > 0
        # A small queue takes no larger batch; the record says so.
        reason = record.unknown.get("max_batch_size", "")
        assert record.max_batch_size is not None or "queue_size" in reason, reason
