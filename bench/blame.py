"""Errors of the user's own code in one line: what was raised, and on which of their lines."""

import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

LONGEST = 300
"""Characters of an error message that are shown; some of torch's run to thousands."""
# Where libraries lie: Python's own, what is installed, torch (which may be installed elsewhere), and this package.
_LIBRARIES = (
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
    str(Path(torch.__file__).parent),
    str(Path(__file__).parent),
)
_ASIDES = ("Exception raised from", "You may have run into", "'aten::", "If you are a Facebook", "Please ")
"""What follows in torch's messages is for its own developers."""


def in_brief(error: BaseException) -> str:
    """Type and message as one line of at most `LONGEST` characters."""
    message = " ".join(str(error).split())
    for aside in _ASIDES:
        start = message.find(aside)
        if start > 0 and message[:start].rstrip().endswith((".", ":", "!")):
            message = message[:start].rstrip()
    if len(message) > LONGEST:
        message = message[:LONGEST].rsplit(" ", 1)[0] + " ..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def users_line(error: BaseException, file: Path | None = None) -> str:
    """`file:line` of the innermost frame in the user's file, else in any code that is no library; else empty."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in _frames(error) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if file is not None and Path(frame.filename).resolve() == file.resolve()]
    other = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    for frame in (own or other)[-1:]:
        return f"{frame.filename}:{frame.lineno}"
    return ""


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    yield from traceback.extract_tb(error.__traceback__)
