"""Why a worker ended without an answer, told from its exit status, its last output or its own words."""

import re
import signal
from pathlib import Path

from sslbench.bench.files import with_home
from sslbench.bench.measured import FailureKind

SMALLER = "lower --batch-size, or ask `sslbench fit` what would fit"
_LONGEST_MESSAGE = 600
_LOG_LINES = 3
_STACK_LINES = 2
# What allocators say: Python's and numpy's, torch's on processors and cards, ONNX Runtime's, CUDA's libraries, C++'s,
# Rust's (tokenizers), and the loader of shared libraries under an address-space limit.
_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|MemoryError|\bout of memory\b|(can't|cannot|failed to|unable to) allocate|not enough memory"
    r"|bad_alloc|_ALLOC_FAILED|_ALLOCATION_FAILED|memory allocation of \d+ bytes failed|failed to map segment",
    re.IGNORECASE,
)
_DRIVER = re.compile(
    r"CUDA error|HIP error|CUDA failure \d+|_STATUS_(EXECUTION_FAILED|MAPPING_ERROR)"  # the latter: CUDA's libraries
    r"|unspecified launch failure|illegal memory access|device-side assert|GPU is lost|fallen off the bus|\bECC error"
)
_FOR_DEVELOPERS = re.compile(
    r"\s+(Search for `|CUDA kernel errors might|For debugging consider|Compile with `|Device-side)"
)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large")
_CHILD_KILLED = re.compile(r"killed by signal: Killed|exited unexpectedly|SIGKILL|exitcode: -9")
_SIGNALS = {
    "SIGBUS": "a file or shared memory (/dev/shm) that it had mapped is cut short or full",
    "SIGILL": "this processor lacks an instruction that a library was built for",
}
_FRAME = re.compile(r'^\s*File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)
_STACK_HEAD = "(most recent call first)"


def cause_of_status(
    status: int, output: str, *, where: str, factory: str, memory_short: str | None
) -> tuple[FailureKind, str]:
    """The kind of an end without an answer, and a line about it.

    Args:
        status: what the process ended with; below 0: the signal that ended it, negated.
        output: the end of what it printed.
        where: what it was doing, as `in phase 'build'`.
        factory: `file.py:function` of the recipe, empty for a catalog recipe.
        memory_short: signs that the system was out of memory, if there were any.
    """
    name = _signal_name(status)
    if name == "SIGKILL" and memory_short:
        return "out-of-memory", f"the worker was killed (SIGKILL) {where}: {memory_short}: {SMALLER}"
    if name == "SIGKILL":
        return "killed", f"the worker was killed (SIGKILL) {where}: by whom is not known, and memory was not short"
    quoted = f"; its last output: {last}" if (last := last_output(output)) else ""
    if _OUT_OF_MEMORY.search(output):
        return "out-of-memory", f"out of memory {where}: {SMALLER}{quoted}"
    if not name:
        return "crashed", f"the worker ended with exit status {status} {where}, without an answer{quoted}"
    hint = f" ({_SIGNALS[name]})" if name in _SIGNALS else ""
    place = place_in_stack(output, factory)
    called = f", called from {place}" if place else ""
    return "crashed", f"the worker crashed ({name}) {where}, in native code{called}{hint}{quoted}"


def cause_of_words(kind: str, message: str, *, where: str, memory_short: str | None) -> tuple[FailureKind, str]:
    """The kind of an exception that the worker told of, and a line about it.

    Args:
        kind: its class.
        message: its text, with the place where it arose.
        where: what the worker was doing.
        memory_short: signs that the system was out of memory, if there were any.
    """
    words, brief = f"{kind}: {message}", shortened(message)
    if _OUT_OF_MEMORY.search(words):
        return "out-of-memory", f"out of memory {where}: {SMALLER} ({brief})"
    if memory_short and _CHILD_KILLED.search(words):
        return "out-of-memory", f"a process of the worker was killed {where}: {memory_short}: {SMALLER} ({brief})"
    if _DRIVER.search(words):
        start = _FOR_DEVELOPERS.search(message)
        return "crashed", f"the driver failed {where}: {shortened(message[: start.start()] if start else message)}"
    if _DISK_FULL.search(words):
        return "raised", f"the disk is full {where}: free some of it, or set TMPDIR to a folder with room ({brief})"
    return "raised", brief


def last_output(output: str) -> str:
    """The last lines of what a worker printed, before faulthandler's account of a crash."""
    crash = output.rfind("Fatal Python error")
    lines = [line.strip() for line in (output if crash < 0 else output[:crash]).split("\n") if line.strip()]
    return shortened(" | ".join(lines[-_LOG_LINES:]))


def place_in_stack(output: str, factory: str) -> str:
    """Where Python was: the innermost frames of faulthandler's last stack, out to the innermost in the user's file.

    Args:
        output: the end of a worker's log.
        factory: `file.py:function` of the recipe, empty for a catalog recipe.

    Returns:
        `queue.py:171 in get, called from my_step.py:13 in step`; empty where there is no stack.
    """
    stacks = [list(_FRAME.finditer(stack)) for stack in output.split(_STACK_HEAD)[1:]]
    frames = next((stack for stack in reversed(stacks) if stack), [])
    own = with_home(factory.rpartition(":")[0]).resolve() if factory else None
    users = next((index for index, frame in enumerate(frames) if Path(frame["file"]).resolve() == own), None)
    chosen = frames[:_STACK_LINES] if users is None else [*frames[:users][:_STACK_LINES], frames[users]]
    named = [f"{Path(frame['file']).name}:{frame['line']} in {frame['function']}" for frame in chosen]
    return shortened(", called from ".join(named))


def shortened(text: str) -> str:
    """As one line without control characters, of a length that a terminal can bear."""
    text = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())  # no escape codes
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "..."


def _signal_name(status: int) -> str:
    if status >= 0:
        return ""
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-status}"
