"""Errors that a user can cause and mend; the command line prints them as one line and exits with 2."""


class SSLBenchError(Exception):
    """The root of every error sslbench raises on purpose.

    The message is one line that names what is wrong, where, and what to do.
    """


class RecipeError(SSLBenchError):
    """A recipe is unknown, malformed, or asks for a step that cannot exist."""


class MachineError(SSLBenchError):
    """A machine profile is unknown or malformed."""


class RecordError(SSLBenchError):
    """A record file cannot be read."""


class SnapshotError(SSLBenchError):
    """A snapshot cannot be read, or not be compared."""


class OutputError(SSLBenchError):
    """A file cannot be written."""


class GitError(SSLBenchError):
    """Git is missing, or refused."""


class TraceError(SSLBenchError):
    """A step could not be run on fake tensors."""


class MeasureError(SSLBenchError):
    """A step could not be run here: a missing backend, out of memory, a crashed worker, a timeout."""


class MismatchError(MeasureError):
    """An exported step computes something else than the step that it was exported from."""


class WorkerError(MeasureError):
    """The worker ended without an answer; a sweep records that and goes on.

    Attributes:
        kind: a `record.FailureKind`: out-of-memory, killed, crashed, timed-out or raised.
        phase: what the worker was doing.
        steps_done: warm-up and timed steps that it had told of.
    """

    def __init__(self, message: str, *, kind: str, phase: str, steps_done: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.phase = phase
        self.steps_done = steps_done
