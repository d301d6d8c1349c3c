"""How long a trace takes, beside torch's own memory tracker on the same step: the table's ratios are the result."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.memory import predict_memory
from sslbench.bench.predict.prediction import predict
from sslbench.bench.trace.tracer import trace_step

GROUP = "two steps of a transformer encoder, without data"
MACHINES = ("t4", "rtx-3090", "rtx-4090", "rtx-5090", "a100-80gb", "h100", "h200", "b200")


def build(device):
    with device:
        layers = [torch.nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True) for _ in range(6)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    x = torch.randn(8, 128, 256, device=device)

    def step():
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step.tracked = (model, optimizer)
    return step


def with_torchs_tracker():
    tracker = MemTracker()
    with FakeTensorMode():
        step = build(torch.device("cpu"))
        tracker.track_external(*step.tracked)
        with tracker:
            step()
            tracker.reset_mod_stats()
            step()
    return tracker.get_tracker_snapshot("peak")


@pytest.mark.benchmark(group=GROUP)
def test_trace_step(benchmark):
    trace = benchmark(trace_step, build, "cuda")
    assert trace.parameters > 10**6


@pytest.mark.benchmark(group=GROUP)
def test_torch_distributed_mem_tracker(benchmark):
    peak = benchmark.pedantic(with_torchs_tracker, rounds=3)
    assert peak


@pytest.mark.benchmark(group="a traced step on eight machines")
@pytest.mark.parametrize("predicted", [predict, predict_memory], ids=["memory and time", "memory"])
def test_predict(benchmark, predicted):
    trace, machines = trace_step(build, "cuda"), [find_machine(name) for name in MACHINES]
    assert len(benchmark(lambda: [predicted(trace, machine) for machine in machines])) == len(MACHINES)


@pytest.mark.benchmark(group="a traced step on a hundred machines")
def test_predict_on_a_hundred_machines(benchmark):
    trace = trace_step(build, "cuda")
    machines = [find_machine(f"{name}:{count}") for name in MACHINES for count in range(1, 14)][:100]
    assert len(benchmark.pedantic(lambda: [predict(trace, machine) for machine in machines], rounds=3)) == 100
