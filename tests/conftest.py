import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import shutil
import sys
import types

import pytest
import torch
from hypothesis import settings

# No deadlines: how long an example takes is the machine's affair.
# The quick one draws the same examples each time: a commit passes or fails for what is in it. Chance is for `thorough`.
settings.register_profile("thorough", settings(), derandomize=False, deadline=None)
settings.register_profile("quick", settings(), max_examples=25, derandomize=True, deadline=None)
settings.load_profile("quick")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Programs that are a Chromium. playwright's own download is not used: a distribution's package gets security fixes."""


class _AnyName(type(torch.nn.Module)):
    def __getattr__(cls, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return name


class _StandIn(types.ModuleType):
    """A module in which every name is a class, of which every attribute is its name."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (torch.nn.Module,), {})


class _Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for torchvision while timm is imported.

    torch's CPU builds have no torchvision on every index, and timm's models use none of it: only its data loading, and
    a class that it looks for in detection models, are imported along with them.
    """

    def find_spec(self, name, path=None, target=None):
        is_ours = name.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if is_ours else None

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        pass


@pytest.fixture(scope="session")
def timm():
    """The package timm; where torchvision is missing, something stands in for it."""
    if importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module("timm")
    finder = _Torchvision()
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module("timm")
    finally:
        sys.meta_path.remove(finder)
        # transformers looks whether there is a torchvision: from here on there is none again
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, one for all tests of a process, driven by playwright; without either they skip."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install --group test")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is here (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
