"""What a worker prints, kept for the one line that tells of its failure."""

import os
import tempfile

from sslbench.bench.errors import MeasureError

_TAIL_BYTES = 8192


class Log:
    """What a worker prints, in a temporary file without a name.

    Raises:
        MeasureError: there is no room for it.
    """

    def __init__(self) -> None:
        try:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the log
        except OSError as error:
            raise MeasureError(f"no temporary file for the worker's output: {error}: set TMPDIR") from error

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def size(self) -> int:
        """Bytes printed so far."""
        return os.fstat(self.file.fileno()).st_size  # a seek would move the place where the worker writes

    def tail(self) -> str:
        """The last few thousand characters."""
        self.file.seek(max(self.size() - _TAIL_BYTES, 0))
        return self.file.read().decode(errors="replace")
