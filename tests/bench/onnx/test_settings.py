import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.options import effective, session_options, thread_count
from sslbench.bench.onnx.providers import PROVIDERS, check_provider, provider_options
from sslbench.bench.onnx.settings import EXECUTION, GRAPH, KEYS, check_settings

SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "graph": st.sampled_from(GRAPH),
        "threads": st.integers(1, 64),
        "arena": st.booleans(),
        "memory_pattern": st.booleans(),
        "spinning": st.booleans(),
        "execution": st.sampled_from(EXECUTION),
    },
)


@given(SETTINGS)
def test_what_was_set_is_what_the_session_has(settings):
    check_settings(settings)
    found, options = effective(settings), session_options(settings)
    assert settings.items() <= found.items()
    assert set(found) == set(KEYS) - {"opset"}
    assert options.intra_op_num_threads == found["threads"]
    assert options.enable_cpu_mem_arena == found["arena"]
    assert options.enable_mem_pattern == found["memory_pattern"]
    assert options.execution_mode.name == f"ORT_{found['execution'].upper()}"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == str(int(found["spinning"]))


def test_graph_levels_are_the_runtimes_own():
    names = {word: session_options({"graph": word}).graph_optimization_level.name for word in GRAPH}
    assert names == {
        "off": "ORT_DISABLE_ALL",
        "basic": "ORT_ENABLE_BASIC",
        "extended": "ORT_ENABLE_EXTENDED",
        "all": "ORT_ENABLE_ALL",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grpah": "all"}, "--onnx grpah: there is no such option: it takes graph, execution, threads"),
        ({"graph": "most"}, "--onnx graph: expected all, extended, basic or off, got 'most'"),
        ({"threads": 0}, "--onnx threads: expected a whole number from 1 on, got 0"),
        ({"threads": 2.5}, "--onnx threads: expected a whole number"),
        ({"threads": True}, "--onnx threads: expected a whole number from 1 on, got true"),
        ({"arena": "no"}, "--onnx arena: expected true or false, got 'no'"),
        ({"opset": 17}, "--onnx opset: expected a whole number from 18 on, got 17"),
        ({"inter_threads": 4}, "--onnx inter_threads: only execution=parallel"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(MeasureError) as caught:
        check_settings(settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), ("0", None), ("many", None)])
def test_threads_are_those_asked_for_or_the_cores(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_count() == threads if threads else thread_count() >= 1


@pytest.mark.parametrize("backend", [name for name in PROVIDERS if name != "onnx-cpu"])
def test_a_missing_provider_says_what_is_there_and_what_to_install(backend, monkeypatch):
    available = "onnxruntime.get_available_providers"
    monkeypatch.setattr(available, lambda: ["CPUExecutionProvider"])  # whatever is installed here
    package = PROVIDERS[backend].package
    message = rf"{backend}: .* \(it has CPUExecutionProvider\): .* pip install {package.split()[0]}"
    with pytest.raises(MeasureError, match=message):
        check_provider(backend)


def test_nvidias_products_are_rounded_to_tf32_only_where_it_is_asked_for():
    assert provider_options("onnx-cuda", "fp32") == {"use_tf32": "0"}
    assert provider_options("onnx-cuda", "tf32") == {"use_tf32": "1"}
    assert provider_options("onnx-cpu", "fp32") == {}


def test_the_parents_check_imports_nothing_but_pythons_own():
    code = "import sys, sslbench.bench.onnx.settings; sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
