"""What is installed is what is in the tree; `make check` sets SSLBENCH_DIST, and the built files are compared, too."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.measure.manager import measure
from sslbench.bench.resolve import resolve_recipe

ROOT = Path(__file__).parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
FOLDERS = ("bench", "hardware_profiles", "kernels", "reports")
FILES = sorted(
    path.relative_to(ROOT)
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
DIST = os.environ.get("SSLBENCH_DIST")
needs_dist = pytest.mark.skipif(DIST is None, reason="`make check` builds the distributions")


def package_of(path):
    return ".".join(("sslbench", *path.parent.parts))


def test_every_folder_is_listed():
    assert sorted(SETUP["packages"]) == sorted({package_of(path) for path in FILES})


def test_every_module_lies_in_a_package():
    strays = [path for path in FILES if path.suffix == ".py" and not (ROOT / path).with_name("__init__.py").exists()]
    assert strays == []


def test_every_data_file_is_listed():
    for path in FILES:
        if path.suffix != ".py":
            patterns = SETUP["package-data"][package_of(path)]
            assert any(path.match(pattern) for pattern in patterns), f"{path} would not be installed"


def test_packages_begin_with_a_docstring_alone():
    for path in FILES:
        if path.name == "__init__.py":
            assert (ROOT / path).read_text("utf-8").count("\n") == 1, f"{path} holds more than a docstring"


def test_a_worker_in_the_source_folder_does_not_take_our_kernels_for_another_package(tmp_path, monkeypatch):
    step = tmp_path / "probe_step.py"
    step.write_text(
        "import importlib.util\n"
        "def build(device):\n"
        "    raise LookupError(f'kernels: {importlib.util.find_spec(\"kernels\")}')\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(ROOT)
    with pytest.raises(SSLBenchError, match="kernels: None"):
        measure(resolve_recipe(f"{step}:build", {}), backend="torch-cpu", command=[])


def test_the_folders_are_no_top_level_packages():
    code = "from importlib.util import find_spec; import sys; sys.exit(any(map(find_spec, sys.argv[1:])))"
    assert subprocess.run([sys.executable, "-P", "-c", code, *FOLDERS], cwd=ROOT, check=False).returncode == 0


@needs_dist
def test_the_wheel_holds_the_tree_and_nothing_else():
    (wheel,) = Path(DIST).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert names == {f"sslbench/{path.as_posix()}" for path in FILES}
    assert licences


@needs_dist
def test_the_sdist_holds_sources_tests_and_docs():
    (sdist,) = Path(DIST).glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {path.as_posix() for path in FILES} | {"README.md", "CHANGELOG.md", "Makefile", "constraints.txt"}
    wanted |= {"tests/test_packaging.py", "docs/index.md", "tests/data/records/prediction-fits.json"}
    assert wanted <= names
