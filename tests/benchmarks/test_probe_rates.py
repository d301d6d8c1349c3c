"""The probe's times beside those that others take: torch's benchmark timer, and a STREAM copy in numpy."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.benchmark import Timer

from sslbench.bench.probe.timing import time_call, undisturbed
from sslbench.kernels.micro.registry import MICROS

CPU = torch.device("cpu")
ROUNDS = 5
COPY_BYTES = 128 * 2**20


def probed(kernel, shape):
    with torch.no_grad():
        samples = time_call(MICROS[kernel].build(CPU, torch.float32, shape), CPU, seconds=0.5)
    return statistics.median(undisturbed(samples))


def of_torch(shape):
    m, n, k = shape
    operands = {"x": torch.randn(m, k), "w": torch.randn(n, k), "b": torch.randn(n)}
    setup, threads = "from torch.nn.functional import linear", torch.get_num_threads()
    timer = Timer("linear(x, w, b)", setup, globals=operands, num_threads=threads)
    with torch.no_grad():
        return timer.blocked_autorange(min_run_time=0.5).median


def of_numpy(shape):
    """On as many threads as torch has, each with a part of its own."""
    threads = torch.get_num_threads()
    source, target = np.ones(shape[0] // 4, np.float32), np.zeros(shape[0] // 4, np.float32)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    samples = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(20):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            samples.append(time.perf_counter() - start)
    return statistics.median(samples)


@pytest.mark.timeout(600)
@pytest.mark.benchmark(group="the probe's times beside those of others")
@pytest.mark.parametrize(
    ("kernel", "shape", "other"),
    [
        ("matmul", (1024, 1024, 1024), of_torch),
        ("matmul", (256, 768, 192), of_torch),
        ("copy", (COPY_BYTES,), of_numpy),
    ],
)
def test_a_probed_kernel_beside_anothers_time(benchmark, capsys, kernel, shape, other):
    ratios = []

    def turn():
        ratios.append(probed(kernel, shape) / other(shape))

    benchmark.pedantic(turn, rounds=ROUNDS, iterations=1)
    ratio = statistics.median(ratios)
    benchmark.extra_info["probe / other"] = ratio
    with capsys.disabled():
        print(f"\n{kernel} {shape}: the probe's time is {ratio:.3f} of {other.__name__}'s")  # noqa: T201 - shown by a benchmark
    assert ratio > 0
