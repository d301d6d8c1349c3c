"""The trace of a CPU step against what torch's own allocator reports through its profiler."""

import gc

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from sslbench.bench.build import build_step
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe

MARK = "step starts"


def measured_peaks(recipe):
    """Peak bytes while building, in step 1 and in step 2."""
    gc.collect()  # what earlier tests left must not be freed inside
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step = build_step(recipe, torch.device("cpu"))
        for _ in range(2):
            with record_function(MARK):
                pass
            step()
    events = profiler.profiler.kineto_results.events()
    rows = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    rows += [(event.start_ns(), None) for event in events if event.name() == MARK]
    return peaks(size for _, size in sorted(rows, key=lambda row: row[0]))


def traced_peaks(trace):
    changes = [trace.storages[e].size if e >= 0 else -trace.storages[~e].size for e in trace.events]
    for mark in reversed(trace.marks[:2]):
        changes.insert(mark, None)
    return peaks(changes)


def peaks(changes):
    found, current, peak = [], 0, 0
    for change in changes:
        if change is None:
            found.append(peak)
            peak = current
        else:
            current += change
            peak = max(peak, current)
    return [*found, peak]


# AdamW's step counters (74 of 4 bytes) and BatchNorm's batch counters (8 bytes) are real host scalars, not storages.
SCALARS = 74 * 4 + 64


@pytest.mark.parametrize(
    "changes",
    [{}, {"precision": "bf16"}, {"stage": "infer"}, {"attention": "eager"}, {"activation_checkpointing": True}],
    ids=lambda changes: "-".join(f"{key}={value}" for key, value in changes.items()) or "fp32",
)
def test_a_transformer_step_peaks_where_torch_says(changes):
    recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 2, "seq_len": 64, **changes})
    traced = traced_peaks(trace_recipe(recipe, "cpu", (0, 0)))
    for predicted, actual in zip(traced, measured_peaks(recipe), strict=True):
        assert 0 <= actual - predicted <= SCALARS


# oneDNN copies the weights of a convolution into its own layout; beside a small batch of inference that is much.
@pytest.mark.parametrize(("stage", "missing"), [("train", 0.02), ("infer", 0.15)])
def test_a_convolutional_step_lacks_only_the_temporaries_of_its_kernels(stage, missing):
    recipe = resolve_recipe("simclr-resnet18", {"batch_size": 4, "stage": stage})
    traced = traced_peaks(trace_recipe(recipe, "cpu", (0, 0)))
    for predicted, actual in zip(traced, measured_peaks(recipe), strict=True):
        assert -64 <= actual - predicted <= missing * actual + SCALARS
