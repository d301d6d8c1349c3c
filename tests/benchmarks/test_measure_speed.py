"""What measuring adds to a step: sslbench's median beside that of a bare loop, each in fresh processes, in turns."""

import json
import statistics
import subprocess
import sys

import pytest

from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.resolve import resolve_recipe

ROUNDS, WARMUP, STEPS = 2, 5, 30
BARE = """
import json, sys, time
import torch
from sslbench.bench.build import build_step
from sslbench.bench.recipe import Recipe

recipe, warmup, steps = json.loads(sys.argv[1])
step = build_step(Recipe.model_validate(recipe), torch.device("cpu"))
for _ in range(warmup):
    step()
seconds = []
for _ in range(steps):
    start = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds))
"""


def bare(recipe):
    asked = json.dumps([recipe.model_dump(), WARMUP, STEPS])
    ran = subprocess.run([sys.executable, "-P", "-c", BARE, asked], check=True, capture_output=True)
    return json.loads(ran.stdout)


def profiled(recipe):
    return measure(
        recipe, backend="torch-cpu", budget=Budget(warmup=WARMUP, steps=STEPS), command=[], predict=False
    ).time.samples_seconds


@pytest.mark.timeout(600)
@pytest.mark.benchmark(group="a bare loop and a profile of the same step")
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("bert-mini-mlm", {"batch_size": 4, "seq_len": 64}), ("simclr-resnet18", {"batch_size": 4, "image_size": 64})],
)
def test_a_measured_step_beside_a_bare_one(benchmark, capsys, name, sizes):
    recipe = resolve_recipe(name, sizes)
    medians = {bare: [], profiled: []}

    def turn():
        for run in (bare, profiled):
            samples = run(recipe)
            assert len(samples) == STEPS
            medians[run].append(statistics.median(samples))

    benchmark.pedantic(turn, rounds=ROUNDS)
    bare_s, profiled_s = (statistics.median(found) for found in medians.values())
    benchmark.extra_info.update(bare_s=bare_s, profiled_s=profiled_s, ratio=profiled_s / bare_s)
    ratio = f"{name}: profiled {1e3 * profiled_s:.3f} ms, bare {1e3 * bare_s:.3f} ms, ratio {profiled_s / bare_s:.4f}"
    with capsys.disabled():
        print(f"\n{ratio}")  # noqa: T201 - the ratio is the result
