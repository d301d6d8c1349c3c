"""Writing files so that nothing half-written stays behind."""

import os
import tempfile
from pathlib import Path

from sslbench.bench.errors import OutputError


def check_writable(path: Path) -> None:
    """Minutes of measuring are not lost to a misspelt folder.

    Raises:
        OutputError: the file's folder is missing or may not be written to.
    """
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: cannot be written: {path.parent} is no folder that you may write to")


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary neighbour, then renamed.

    Raises:
        OutputError: the folder is missing, the disk is full, or writing is not allowed.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
