"""A step on several devices of this machine: launches its ranks under torchrun and passes on what they say.

Part of the worker. The ranks are started by torchrun's own agent (`torch.distributed.launcher`, what the command
`torchrun --standalone` is made of), each `python -P -m sslbench.bench.measure.rank`. The same step on one device is
measured first, with as many threads as a rank gets, so that the two can be compared.
"""

import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, replace
from signal import SIGTERM
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sslbench.bench import errors
from sslbench.bench.errors import MeasureError, SSLBenchError
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.reporter import Reporter, ToldError
from sslbench.bench.measured import FailureKind

_START_SECONDS = 60.0  # torchrun's processes have to find each other first
_SILENCE_SECONDS = 30.0  # signs of life come every second
_SHUTDOWN_SECONDS = "5"


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Measure the step on one device, then on all.

    Raises:
        MeasureError: torch or the machine has not what it takes.
        ToldError: a rank failed.
    """
    _check(spec)
    threads = max(1, torch.get_num_threads() // spec.devices)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = _SHUTDOWN_SECONDS
    single = _launch(replace(spec, devices=1), reporter)
    outcome = _launch(spec, reporter)
    outcome.single_step_seconds = statistics.median(single.samples_seconds)
    return outcome


def _check(spec: Spec) -> None:
    if not distributed.is_available():
        raise MeasureError(f"--devices: the installed PyTorch {torch.__version__} has no torch.distributed")
    if spec.backend != "torch-cuda":
        return
    there = torch.cuda.device_count()
    if spec.devices > there:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
        raise MeasureError(f"--devices {spec.devices}: torch sees {there} GPU(s) here{hint}")
    if not distributed.is_nccl_available():
        raise MeasureError(f"--devices: the installed PyTorch {torch.__version__} has no NCCL, which GPUs talk through")


def _launch(spec: Spec, reporter: Reporter) -> Outcome:
    """Run as many ranks as there are devices, to their end."""
    with _Ranks(spec.devices, reporter) as ranks, tempfile.TemporaryDirectory(dir=spec.folder or None) as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=spec.devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            # -P: the folder we run in holds nothing that may be imported by accident
            elastic_launch(config, sys.executable)("-P", "-m", "sslbench.bench.measure.rank", json.dumps(asdict(spec)))
        except ChildFailedError as error:
            ranks.close()
            raise ToldError(ranks.failure_of(error)) from error
        ranks.close()
        if ranks.outcome is None:
            raise ToldError(_event(0, "rank 0 ended without an answer", cause="crashed"))
        return ranks.outcome


class _Ranks:
    """What the ranks say, over a socket that they inherit as descriptor 0."""

    def __init__(self, count: int, reporter: Reporter) -> None:
        self._reporter = reporter
        self._ours, self._theirs = socket.socketpair()
        self._heard = dict.fromkeys(range(count), time.monotonic() + _START_SECONDS)
        """`time.monotonic()` of each rank's last sign of life, or when its first is due."""
        self._failure: dict[str, Any] | None = None
        self.outcome: Outcome | None = None

    def __enter__(self) -> "_Ranks":
        self._before = os.dup(0)
        os.dup2(self._theirs.fileno(), 0)
        self._theirs.close()
        self._reader = threading.Thread(target=self._read, daemon=True, name="sslbench-ranks")
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No rank is left; what they said last is read."""
        if self._before >= 0:
            os.dup2(self._before, 0)
            os.close(self._before)
            self._before = -1
            self._reader.join(timeout=float(_SHUTDOWN_SECONDS))
            self._ours.close()

    def failure_of(self, error: ChildFailedError) -> dict[str, Any]:
        """The event of the rank that failed first: others fail because it is gone."""
        failures: dict[int, Any] = error.failures
        # SIGTERM is what torchrun ends the others with
        killed = [rank for rank, failure in failures.items() if failure.exitcode < 0 and failure.exitcode != -SIGTERM]
        if self._failure is not None and not killed:
            return self._failure
        rank = min(killed or failures)
        return _event(rank, "", status=failures[rank].exitcode)

    def _read(self) -> None:
        self._ours.settimeout(1.0)
        pending = b""
        while True:
            try:
                received = self._ours.recv(2**16)
            except TimeoutError:
                received = None
            except OSError:
                return
            if received == b"":
                return
            *lines, pending = (pending + (received or b"")).split(b"\n")
            for line in lines:
                with suppress(ValueError):
                    self._take(json.loads(line))
            self._check_life()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "alive":
            self._heard[event["rank"]] = time.monotonic()
        elif kind == "error" and self._failure is None:
            self._failure = _with_rank(event)
        elif kind == "result":
            self.outcome = Outcome(**event["outcome"])
        elif kind in ("phase", "step"):
            self._reporter.pass_on(event)

    def _check_life(self) -> None:
        silent = [rank for rank, heard in self._heard.items() if time.monotonic() - heard > _SILENCE_SECONDS]
        if silent:  # the main thread waits for the ranks: the parent ends it, and them
            message = f"rank {silent[0]} has given no sign of life for {_SILENCE_SECONDS:.0f} s: it hangs or is stopped"
            self._reporter.error(ToldError(_event(silent[0], message, cause="timed-out")), "")


def _event(rank: int, message: str, *, cause: FailureKind | None = None, status: int | None = None) -> dict[str, Any]:
    event = {"event": "error", "kind": "RankError", "message": message, "place": "", "cause": cause}
    return {**event, "rank": rank, "status": status}


def _with_rank(event: dict[str, Any]) -> dict[str, Any]:
    """The failure with its rank; our own errors are the same on every rank."""
    own = issubclass(getattr(errors, event["kind"], object), SSLBenchError)
    return event if own else {**event, "message": f"{event['message']} (rank {event['rank']})"}
