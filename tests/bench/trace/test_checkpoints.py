import pytest
import safetensors.torch
import torch
from torch import nn

from sslbench.bench.trace.tracer import trace_step

WEIGHTS = 4 * (64 * 32 + 32)


@pytest.fixture
def model():
    return nn.Linear(64, 32)


@pytest.fixture
def files(tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "zip.pt")
    torch.save(model.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    return tmp_path


LOADS = {
    "to the device": lambda files, device: torch.load(files / "zip.pt", map_location=device),
    "to the host": lambda files, device: torch.load(files / "zip.pt", map_location="cpu", weights_only=True),
    "as saved": lambda files, device: torch.load(files / "zip.pt"),
    "by a function": lambda files, device: torch.load(files / "zip.pt", map_location=lambda storage, place: storage),
    "the old format": lambda files, device: torch.load(files / "old.pt", map_location=device),
    "safetensors": lambda files, device: safetensors.torch.load_file(files / "model.safetensors"),
    "safetensors to the device": lambda files, device: safetensors.torch.load_file(
        files / "model.safetensors", device=str(device)
    ),
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_a_checkpoint_gives_a_model_its_parameters(files, target, load, assign):
    def build(device):
        model = nn.Linear(64, 32).to(device)
        model.load_state_dict(load(files, device), assign=assign)
        model.to(device)
        return lambda: model(torch.ones(2, 64, device=device)).sum().backward()

    trace = trace_step(build, target)
    assert trace.parameters * 4 == WEIGHTS or assign  # with `assign` the first parameters are gone
    kept = sum(storage.size for storage in trace.storages if storage.category == "parameter")
    assert kept == WEIGHTS


def test_a_checkpoint_that_the_step_writes_stays_what_it_was(files, model):
    before = {path: path.read_bytes() for path in files.iterdir()}

    def step():
        torch.save(model.state_dict(), files / "zip.pt")
        safetensors.torch.save_file(model.state_dict(), files / "model.safetensors")

    trace_step(lambda device: step, "cuda")
    assert {path: path.read_bytes() for path in files.iterdir()} == before
