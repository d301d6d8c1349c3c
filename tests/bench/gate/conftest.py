import pytest

STEP = """\
import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(self, x):
        return self.out(x)


def build(device, batch_size=1024, width=256):
    body = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)).to(device)
    head = Head(width).to(device)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()])
    x = torch.randn(batch_size, width, device=device)

    def step():
        optimizer.zero_grad()
        hidden = head(body(x))
        noise = torch.ones(262144, device=device).mean()
        left = hidden.exp()
        right = hidden.tanh()
        loss = (left * right).sum() * noise
        loss.backward()
        optimizer.step()

    return step
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with `my_step.py`, in which the process works."""
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "my_step.py").write_text(STEP, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def edited(tmp_path):
    """Makes a copy of the project in which a text of `my_step.py` is replaced by another."""

    def edit(old, new):
        assert STEP.count(old) == 1
        folder = tmp_path / "edited"
        folder.mkdir(exist_ok=True)
        (folder / "my_step.py").write_text(STEP.replace(old, new), encoding="utf-8")
        return folder

    return edit
