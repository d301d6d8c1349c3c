"""Steps of the catalog's recipes at sizes that a CPU runs, as multiples of a matrix product on the same machine."""

import statistics
import time

import pytest
import torch

STEPS = {
    "bert-mini-mlm": {"batch_size": 2, "seq_len": 32},
    "clm-stories15m": {"batch_size": 2, "seq_len": 32},
    "simclr-resnet18": {"batch_size": 4, "image_size": 32},
    "dino-vit-ti-16": {"batch_size": 2},
    "clip-vit-ti-16": {"batch_size": 2},
}


def seconds_of_a_product(size=512, rounds=15):
    """Median of a product of two square fp32 matrices."""
    first, second = torch.randn(2, size, size)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        first @ second
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@pytest.mark.benchmark(group="steps of the catalog on the processor", warmup=False, min_rounds=3, max_time=0.5)
@pytest.mark.parametrize("name", STEPS)
def test_a_step(benchmark, measured_step, capsys, name):
    before = seconds_of_a_product()
    measured = measured_step(name, backend="torch-cpu", **STEPS[name])
    product = (before + seconds_of_a_product()) / 2
    benchmark.extra_info["in_products"] = measured.seconds / product
    with capsys.disabled():
        print(f"\n{name}: {measured.seconds / product:.1f} products of 512 x 512 matrices")  # noqa: T201 - the result
