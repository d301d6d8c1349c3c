"""One process of a step on several devices: `python -P -m sslbench.bench.measure.rank SPEC`, started by `distributed`.

Descriptor 0 is a socket to the worker that started all ranks. Rank 0 writes what a worker writes on its channel; every
rank writes its own failure, and signs of life. When the socket closes the worker is gone, and the rank ends itself.
What a step prints goes to the worker's log.
"""

import faulthandler
import importlib
import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

from sslbench.bench.measure.messages import Spec
from sslbench.bench.measure.reporter import Reporter, place_of

LIFE_SIGN_SECONDS = 1.0


class _Channel:
    """The socket to the worker, for several threads."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(0))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()

    def write(self, line: bytes) -> int:
        """Send a whole line."""
        with self._lock:
            self._socket.sendall(line)
        return len(line)

    def flush(self) -> None:
        """Nothing is kept back."""

    def live(self, rank: int) -> None:
        """Give signs of life from now on, and end this process when the worker is gone."""
        for action, argument in ((self._tell, rank), (self._wait, 1)):
            threading.Thread(target=action, args=(argument,), daemon=True, name="sslbench-rank").start()

    def _tell(self, rank: int) -> None:
        line = json.dumps({"event": "alive", "rank": rank}).encode() + b"\n"
        with suppress(OSError):
            while True:
                self.write(line)
                time.sleep(LIFE_SIGN_SECONDS)

    def _wait(self, count: int) -> None:
        with suppress(OSError):
            self._socket.recv(count)  # the worker writes nothing: this returns when it is gone
        os._exit(1)


def main() -> NoReturn:
    """Do a rank's part of what the specification says; always ends the process."""
    rank, channel = int(os.environ["LOCAL_RANK"]), _Channel()
    channel.live(rank)
    faulthandler.enable(all_threads=False)  # a native crash leaves its Python stack in the log
    status = 1
    try:
        # Imported here, so that a rank that cannot import torch is heard.
        task = importlib.import_module("sslbench.bench.measure.rank_backend")
        reporter = Reporter(channel)
        outcome = task.run(Spec(**json.loads(sys.argv[1])), rank, reporter)
        if outcome is not None:
            reporter.result(outcome)
        status = 0
    except BaseException as error:  # whatever it is, the worker is told
        channel.write(_failure(error, rank))
    finally:
        os._exit(status)


def _failure(error: BaseException, rank: int) -> bytes:
    kind = type(error).__name__
    event = {"event": "error", "rank": rank, "kind": kind, "message": str(error) or kind, "place": place_of(error, "")}
    return json.dumps(event).encode() + b"\n"


if __name__ == "__main__":
    main()
