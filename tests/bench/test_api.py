import pytest
import torch

from sslbench.bench import api
from sslbench.bench.api import load_machine, predict, trace_step
from sslbench.bench.errors import MachineError


def build(device, batch_size=32, width=256):
    model = torch.nn.Linear(width, width, device=device)
    optimizer = torch.optim.AdamW(model.parameters())
    batch = torch.randn(batch_size, width, device=device)

    def step():
        model(batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def test_a_step_of_ones_own_is_predicted_without_its_device():
    prediction = predict(trace_step(build, device="cuda", batch_size=64), load_machine("rtx-3090"))
    memory, time = prediction.memory, prediction.time
    assert prediction.verdict == "fits"
    assert memory.interval_bytes[0] <= memory.required_bytes <= memory.interval_bytes[1]
    assert memory.peak_allocated_bytes <= memory.required_bytes <= memory.capacity_bytes
    assert time.samples_per_second == pytest.approx(64 / time.step_seconds)
    assert prediction.work.parameters == 256 * 257


def test_parameters_reach_the_factory():
    assert trace_step(build, device="cpu", width=8).parameters == 8 * 9


def test_an_unknown_machine_is_an_error_of_ours():
    with pytest.raises(MachineError, match="rtx-309"):
        load_machine("rtx-309O")


def test_nothing_else_is_public():
    assert set(api.__all__) == {name for name in vars(api) if not name.startswith("_")}
