import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.ending import cause_of_status, cause_of_words, last_output, place_in_stack, shortened
from sslbench.bench.measure.events import ResultEvent, read_event
from sslbench.bench.measure.messages import Outcome
from sslbench.bench.measure.reporter import Reporter

DEVICE_ASSERT = """CUDA error: device-side assert triggered
Search for `cudaErrorAssert' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more.
CUDA kernel errors might be asynchronously reported at some other API call.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1"""


def words(kind, message, short=None):
    return cause_of_words(kind, message, where="in phase 'build'", memory_short=short)


def status(number, output="", short=None):
    return cause_of_status(number, output, where="in phase 'build'", factory="", memory_short=short)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.1 GiB"),
        ("OutOfMemoryError", "HIP out of memory. Tried to allocate 20.00 GiB"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 17.00 GB, max allowed: 18.13 GB)"),
        ("RuntimeError", "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        ("RuntimeError", "[enforce fail at alloc_cpu.cpp:83] data. DefaultCPUAllocator: not enough memory: you tried"),
        ("AcceleratorError", "CUDA error: out of memory"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (
            "RuntimeException",
            "[ONNXRuntimeError] : 6 : bfc_arena.cc:358 Failed to allocate memory for requested buffer",
        ),
        ("Fail", "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0"),
        ("RuntimeError", "std::bad_alloc"),
        ("MemoryError", "MemoryError"),
        ("_ArrayMemoryError", "Unable to allocate 8.00 EiB for an array with shape (2, 3)"),
        ("OSError", "[Errno 12] Cannot allocate memory"),
        ("RecipeError", "my_step.py:3: RuntimeError: unable to mmap 4096 bytes: Cannot allocate memory (12)"),
        ("ImportError", "libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_what_allocators_say_is_out_of_memory(kind, message):
    found, text = words(kind, message)
    assert found == "out-of-memory"
    assert text.startswith("out of memory in phase 'build': lower --batch-size, or ask `sslbench fit` what would fit (")


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("AcceleratorError", DEVICE_ASSERT, "CUDA error: device-side assert triggered"),
        ("RecipeError", f"my_step.py:9: {DEVICE_ASSERT}", "my_step.py:9: CUDA error: device-side assert triggered"),
        ("RuntimeError", "CUDA error: unspecified launch failure", "CUDA error: unspecified launch failure"),
        ("NVMLError_GpuIsLost", "GPU is lost", "GPU is lost"),
        ("RuntimeError", "CUDA error: uncorrectable ECC error encountered", "CUDA error: uncorrectable ECC error"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_driver_that_fails_is_quoted(kind, message, said):
    found, text = words(kind, message)
    assert found == "crashed"
    assert text.startswith(f"the driver failed in phase 'build': {said}")
    assert "Search for" not in text


def test_everything_else_was_raised():
    assert words("RecipeError", "my_step.py:3: ValueError: no such token") == (
        "raised",
        "my_step.py:3: ValueError: no such token",
    )
    assert words("OSError", "[Errno 28] No space left on device: '/tmp/x'")[0] == "raised"


def test_a_child_that_the_kernel_ended_is_out_of_memory_where_memory_was_short():
    message = "DataLoader worker (pid 77) is killed by signal: Killed."
    assert words("RuntimeError", message)[0] == "raised"
    kind, text = words("RuntimeError", message, short="the kernel ended it because memory ran out")
    assert kind == "out-of-memory"
    assert "the kernel ended it because memory ran out: lower --batch-size" in text


def test_sigkill_is_out_of_memory_where_memory_was_short():
    assert status(-signal.SIGKILL)[0] == "killed"
    kind, text = status(-signal.SIGKILL, short="the kernel ended it because memory ran out")
    assert kind == "out-of-memory"
    assert text.startswith(
        "the worker was killed (SIGKILL) in phase 'build': the kernel ended it because memory ran out"
    )


@pytest.mark.parametrize(
    ("number", "output", "kind", "said"),
    [
        (-signal.SIGABRT, "terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory", "bad_a"),
        (
            -signal.SIGABRT,
            "free(): invalid pointer\nFatal Python error: Aborted\n",
            "crashed",
            "free(): invalid pointer",
        ),
        (-signal.SIGILL, "", "crashed", "this processor lacks an instruction"),
        (-signal.SIGBUS, "", "crashed", "shared memory"),
        (-63, "", "crashed", "crashed (signal 63)"),
        (1, "MemoryError", "out-of-memory", "its last output: MemoryError"),
        (3221225477, "", "crashed", "exit status 3221225477 in phase 'build', without an answer"),
    ],
)
def test_an_exit_status_and_the_last_output_tell_why(number, output, kind, said):
    found, text = status(number, output)
    assert found == kind
    assert said in text


STACK = """Current thread 0x00007f8f0c6f4740 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/usr/lib/python3.11/queue.py", line 171 in get
  File "/site-packages/torch/utils/data/dataloader.py", line 1295 in _try_get_data
  File "/home/me/my_step.py", line 13 in step
  File "/site-packages/sslbench/bench/factory.py", line 66 in _guarded
"""


def test_the_place_is_the_innermost_frames_and_the_users():
    inner = "threading.py:320 in wait, called from queue.py:171 in get"
    assert place_in_stack(f"noise\n{STACK}", "/home/me/my_step.py:build") == (
        f"{inner}, called from my_step.py:13 in step"
    )
    assert place_in_stack(STACK, "") == inner
    assert place_in_stack("noise (most recent call first)", "") == ""


def test_the_last_output_ends_where_the_crash_is_told():
    assert last_output("a\nb\n\nc\nd\n") == "b | c | d"
    assert last_output(f"said\nFatal Python error: Segmentation fault\n\n{STACK}\nExtension modules: numpy") == "said"


@given(st.text())
def test_a_shortened_text_is_one_printable_line(text):
    found = shortened(text)
    assert len(found) <= 603
    assert found == "" or found.isprintable()


@given(st.binary())
def test_no_line_is_too_strange_to_read(line):
    read_event(line)


@given(st.lists(st.floats(min_value=0, allow_infinity=False)), st.text(), st.integers(min_value=0))
def test_a_result_crosses_unharmed(samples, reason, peak):
    class Lines:
        def write(self, line):
            self.line = line

        def flush(self):
            pass

    outcome = Outcome(samples_seconds=samples, peak_allocated_bytes=peak, unknown={"time": reason})
    lines = Lines()
    Reporter(lines).result(outcome)
    assert read_event(lines.line) == ResultEvent(event="result", outcome=outcome)
    assert read_event(lines.line[:-2]) is None
