import os
import platform
import subprocess
import sys

import torch

from sslbench.bench.environment import describe_environment, package_version


def test_it_is_this_machine_and_this_software():
    environment = describe_environment()
    assert environment.python == platform.python_version()
    assert environment.logical_cores == os.cpu_count()
    assert environment.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert environment.packages["torch"] == torch.__version__
    assert environment.processor
    assert environment.threads is None


def test_what_is_not_installed_has_no_version():
    assert package_version("sslbench-never-published") is None


def test_it_imports_nothing_that_it_describes():
    code = (
        "import sys; from sslbench.bench.environment import describe_environment; describe_environment();"
        "sys.exit(bool({'torch', 'transformers', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
