"""The trace of a CPU step against what torch's own allocator reports through its profiler."""

import gc
import re
from collections import Counter
from itertools import accumulate

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from sslbench.bench.build import build_step
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cpu_kernels import MATMUL_SCRATCHPAD_BYTES
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.bench.trace.tracer import trace_step
from sslbench.kernels.catalog import recipe_tables

MARK = "step starts"
NUMBERS = 64
"""Python numbers that autograd's own formulas turn into tensors, one inside the other."""
SMALL = sorted(name for name in recipe_tables() if re.search(r"mini|-ti-|resnet18|stories", name))
SIZES = {"batch_size": 4, "seq_len": 32}


def measured(build):
    """Changes of allocated bytes while building, in step 1 and in step 2."""
    gc.collect()  # what earlier tests left must not be freed inside
    gc.disable()  # cycles are collected between the steps, as in a trace
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            step = build(torch.device("cpu"))
            for _ in range(2):
                gc.collect()
                with record_function(MARK):
                    pass
                step()
            with record_function(MARK):
                pass
    finally:
        gc.enable()
    events = profiler.profiler.kineto_results.events()
    rows = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    rows += [(event.start_ns(), None) for event in events if event.name() == MARK]
    return parts(size for _, size in sorted(rows, key=lambda row: row[0]))


def traced(trace):
    changes = [trace.storages[e].size if e >= 0 else -trace.storages[~e].size for e in trace.events]
    for mark in reversed(trace.marks):
        changes.insert(mark, None)
    return parts(changes)


def parts(changes):
    found = [[]]
    for change in changes:
        if change is None:
            found.append([])
        else:
            found[-1].append(change)
    return found[:3]


def peaks(parts):
    level, found = 0, []
    for part in parts:
        levels = list(accumulate(part, initial=level))
        level = levels[-1]
        found.append(max(levels))
    return found


def kept_storages(trace):
    """Sizes of the second step's storages, without what a kernel takes and frees inside."""
    start, end = trace.marks[1:]
    born = {event: position for position, event in enumerate(trace.events) if event >= 0}
    died = {~event: position for position, event in enumerate(trace.events) if event < 0}
    few = 16  # events of one kernel
    return Counter(
        trace.storages[index].size
        for index, position in born.items()
        if start <= position < end and died.get(index, end) - position > few and trace.storages[index].size
    )


def tolerance(trace, actual):
    """Nothing but numbers in fp32; a scratchpad's estimate in bf16; 2 % with convolutions."""
    inputs = {dtype for kind in trace.kinds for dtype, _ in kind.inputs}
    scratchpads = 2 * torch.get_num_threads() * MATMUL_SCRATCHPAD_BYTES if "bfloat16" in inputs else 0
    convolutions = any("convolution" in kind.name for kind in trace.kinds)
    return NUMBERS + scratchpads + (0.02 * actual if convolutions else 0)


def check(trace, changes):
    (built, *steps), (built_here, *steps_here) = peaks(traced(trace)), peaks(changes)
    assert abs(built_here - built) <= 0.02 * built_here  # initial values are drawn with temporaries of their own
    for predicted, actual in zip(steps, steps_here, strict=True):
        assert abs(actual - predicted) <= tolerance(trace, actual)
    held = [sum(map(sum, stream)) for stream in (traced(trace), changes)]
    assert abs(held[0] - held[1]) <= NUMBERS
    allocated = Counter(change for change in changes[2] if change > 0)
    assert not kept_storages(trace) - allocated


def check_recipe(name, changes):
    table = recipe_tables()[name]
    recipe = resolve_recipe(name, {key: value for key, value in SIZES.items() if key in table} | changes)
    check(trace_recipe(recipe, "cpu", (0, 0)), measured(lambda device: build_step(recipe, device)))


@pytest.mark.parametrize(
    ("name", "precision", "stage"),
    [
        ("bert-mini-mlm", "fp32", "train"),
        pytest.param("bert-mini-mlm", "fp32", "infer", marks=pytest.mark.slow),
        pytest.param("bert-mini-mlm", "bf16", "train", marks=pytest.mark.slow),
        ("bert-mini-mlm", "bf16", "infer"),
        pytest.param("simclr-resnet18", "fp32", "train", marks=pytest.mark.slow),
        ("simclr-resnet18", "fp32", "infer"),
        pytest.param("simclr-resnet18", "bf16", "train", marks=pytest.mark.slow),
        pytest.param("simclr-resnet18", "bf16", "infer", marks=pytest.mark.slow),
    ],
)
def test_a_step_allocates_what_torch_says(name, precision, stage):
    check_recipe(name, {"precision": precision, "stage": stage})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bert-mini-mlm", {"attention": "eager"}),
        ("bert-mini-mlm", {"activation_checkpointing": True}),
        ("bert-mini-mlm", {"optimizer": "adamw-fused"}),
        ("bert-mini-mlm", {"optimizer": "adam-fused"}),
        ("bert-mini-mlm", {"optimizer": "sgd-fused"}),
        ("simclr-resnet18", {"options": {"channels_last": True}}),
    ],
    ids=lambda value: "-".join(map(str, *value.items())) if isinstance(value, dict) else value,
)
def test_options_change_what_torch_says(name, changes):
    check_recipe(name, changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("bert-mini-mlm", "simclr-resnet18")])
def test_every_small_recipe_of_the_catalog_allocates_what_torch_says(name):
    check_recipe(name, {})
    check_recipe(name, {"precision": "bf16", "stage": "infer"})


def vit():
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
    return ViTModel(ViTConfig(**sizes, image_size=64, patch_size=16))


def convnext():
    from transformers import ConvNextConfig, ConvNextModel

    return ConvNextModel(ConvNextConfig(hidden_sizes=[32, 64, 96, 128], depths=[1, 1, 2, 1]))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", [vit, convnext])
def test_a_model_of_ones_own_allocates_what_torch_says(model, precision):
    def build(device):
        network = model().to(device)
        images = torch.randn(4, 3, 64, 64, device=device)
        optimizer = torch.optim.AdamW(network.parameters())

        def step():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = network(pixel_values=images).last_hidden_state.float().square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    check(trace_step(build, "cpu"), measured(build))
