"""The process that runs a recipe's steps: `python -P -m sslbench.bench.measure.worker`.

Reads one `Spec` line on standard input and answers in JSON lines on what was its standard output (see `messages`).
Before anything else runs, descriptors 0 and 1 are taken out of reach: a step that prints or reads cannot disturb the
channel, what it prints lands in the log that the parent quotes when something goes wrong. Standard input stays open as
long as the parent lives; when it closes, the worker ends itself and all that it started.
"""

import faulthandler
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from typing import BinaryIO, Protocol

from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.reporter import Reporter

# Imported when asked for: the ONNX Runtime worker never imports torch.
TASKS = {
    "torch": "sslbench.bench.measure.torch_backend",
    "onnx-export": "sslbench.bench.measure.onnx_export",
    "onnx-run": "sslbench.bench.measure.onnx_backend",
    "predict": "sslbench.bench.measure.predicting",
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


def _die_with_parent(orders: BinaryIO, folder: str) -> None:
    def watch() -> None:
        orders.read()  # returns when the parent is gone
        if folder:
            shutil.rmtree(folder, ignore_errors=True)  # the parent would have
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="sslbench-parent-watch").start()


def main() -> None:
    """Do what the specification says; always ends the process."""
    orders, channel = _take_channels()
    faulthandler.enable(all_threads=False)  # a native crash leaves its Python stack in the log
    spec = Spec(**json.loads(orders.readline()))
    _die_with_parent(orders, spec.folder)
    reporter = Reporter(channel)
    try:
        reporter.phase("import")
        task: _Task = importlib.import_module(TASKS[spec.task])
        reporter.result(task.run(spec, reporter))
    except BaseException as error:  # whatever a user's step raises, SystemExit too, is reported
        traceback.print_exc()
        reporter.error(error, spec.recipe.get("factory", ""))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # no exit handler of a step can hang or fail now; the parent judges by the last line


if __name__ == "__main__":
    main()
