import sys

import pytest

from sslbench.bench.measure import backends
from sslbench.bench.measure.backends import default_backend, torch_has_cuda


def write_torch(folder, line):
    package = folder / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('torch was imported')\n")
    (package / "version.py").write_text(f"from typing import Optional\n__version__ = '2.13.0'\n{line}\nhip = None\n")


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("cuda: Optional[str] = '12.8'", True),
        ('cuda = "13.0"', True),
        ("cuda: Optional[str] = None", False),
        ("cuda = None", False),
    ],
)
def test_the_version_file_tells_without_importing_torch(tmp_path, monkeypatch, line, has):
    write_torch(tmp_path, line)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert torch_has_cuda() is has


@pytest.mark.parametrize(
    ("has_cuda", "card", "backend"),
    [(True, object(), "torch-cuda"), (True, None, "torch-cpu"), (False, object(), "torch-cpu")],
)
def test_a_card_and_a_build_for_it_or_else_the_processor(monkeypatch, has_cuda, card, backend):
    monkeypatch.setattr(backends, "torch_has_cuda", lambda: has_cuda)
    monkeypatch.setattr(backends, "nvidia_card", lambda: card)
    assert default_backend() == backend
