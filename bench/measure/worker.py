"""The process that runs a recipe's steps: `python -P -m sslbench.bench.measure.worker`.

Reads one `Spec` line on standard input and answers in JSON lines on what was its standard output (see `messages`).
Before anything else runs, descriptors 0 and 1 are taken out of reach: a step that prints or reads cannot disturb the
channel, what it prints lands in the log that the parent quotes when something goes wrong. Should the parent die, a
guardian (see `guardian`) ends the worker and all that it started.
"""

import faulthandler
import importlib
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol

from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.reporter import Reporter

# Imported when asked for: the ONNX Runtime worker never imports torch.
TASKS = {
    "torch": "sslbench.bench.measure.torch_backend",
    "onnx-export": "sslbench.bench.measure.onnx_export",
    "onnx-run": "sslbench.bench.measure.onnx_backend",
    "onnx-train-export": "sslbench.bench.measure.onnx_train_export",
    "onnx-train-run": "sslbench.bench.measure.onnx_train_backend",
    "predict": "sslbench.bench.measure.predicting",
    "distributed": "sslbench.bench.measure.distributed",
}


class _Task(Protocol):
    def run(self, spec: Spec, reporter: Reporter) -> Outcome: ...


def _take_channels() -> tuple[BinaryIO, BinaryIO]:
    """Private copies of standard input and output; the public ones lead to nothing and to the log."""
    orders = os.fdopen(os.dup(0), "rb")
    channel = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, channel


def _show_stacks() -> None:
    """A native crash leaves its Python stack in the log; so does the parent's question where a worker hangs."""
    log = os.dup(2)  # a step may lead 2 elsewhere
    faulthandler.enable(log, all_threads=False)
    if hasattr(signal, "SIGUSR1"):  # Windows has none
        faulthandler.register(signal.SIGUSR1, log, all_threads=False)


def _be_killed_first() -> None:
    """When memory runs out, Linux ends the process with the highest score: not the user's shell, but this one."""
    with suppress(OSError):  # another system, or a container without the file
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def main() -> NoReturn:
    """Do what the specification says; always ends the process."""
    orders, channel = _take_channels()
    _show_stacks()
    _be_killed_first()
    line = orders.readline()
    if not line.endswith(b"\n"):  # the parent died before it had said all
        os._exit(1)
    spec = Spec(**json.loads(line))
    reporter = Reporter(channel, orders)
    status = 1
    try:
        reporter.phase("import")
        task: _Task = importlib.import_module(TASKS[spec.task])
        reporter.result(task.run(spec, reporter))
        status = 0
    except BaseException as error:  # whatever a user's step raises, SystemExit too, is reported
        _tell(reporter, error, spec.recipe.get("factory", ""))
    finally:
        os._exit(status)  # no exit handler of a step can hang or fail now; the parent judges by the last line


def _tell(reporter: Reporter, error: BaseException, factory: str) -> None:
    try:
        reporter.error(error, factory)
    except MemoryError:  # not even for its place
        reporter.error(MemoryError(), "")


if __name__ == "__main__":
    main()
