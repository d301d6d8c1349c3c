from collections import Counter

import pytest

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.prediction import predict
from sslbench.bench.predict.sharding import blocks_of, on_one_of
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe


@pytest.fixture(scope="module")
def bert():
    return trace_recipe(resolve_recipe("bert-mini-mlm", {}), "cuda", (8, 0))


def held(trace):
    sizes = Counter()
    for storage in trace.storages:
        sizes[storage.category] += storage.size
    return sizes


def test_blocks_are_the_root_and_the_layers(bert):
    root, *layers = blocks_of(bert)
    assert len(layers) == 4
    assert len({layer.parameter_bytes for layer in layers}) == 1
    assert root.parameter_bytes + sum(layer.parameter_bytes for layer in layers) == 4 * bert.parameters
    assert [block.gradient_bytes for block in (root, *layers)] == [block.parameter_bytes for block in (root, *layers)]


def test_fsdp_shares_parameters_gradients_and_optimizer_states(bert):
    before, after = held(bert), held(on_one_of(bert, "fsdp", 8))
    for category in ("parameter", "gradient", "optimizer state"):
        assert after[category] == pytest.approx(before[category] / 8, rel=0.01)
    assert after["activation"] == before["activation"]
    root, layer, *_ = blocks_of(bert)
    whole = root.parameter_bytes + root.gradient_bytes + 2 * (layer.parameter_bytes + layer.gradient_bytes)
    assert after["temporary"] - before["temporary"] == whole


def test_ddp_keeps_buckets_beside_the_gradients(bert):
    after = on_one_of(bert, "ddp", 8)
    assert held(after)["temporary"] - held(bert)["temporary"] == 4 * bert.parameters
    assert len(after.events) == len(bert.events) + 1


def test_one_device_is_the_step_as_it_was(bert):
    assert on_one_of(bert, "fsdp", 1) is bert


def test_more_devices_need_less_memory_each_under_fsdp_and_more_under_ddp(bert):
    def peak(name, strategy):
        return predict(bert, find_machine(name), strategy=strategy).memory.peak_allocated_bytes

    assert peak("a100-80gb:1", "ddp") < peak("a100-80gb:2", "ddp") == peak("a100-80gb:8", "ddp")
    assert peak("a100-80gb:8", "fsdp") < peak("a100-80gb:2", "fsdp")
