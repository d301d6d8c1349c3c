"""The source line behind an operator: the innermost Python frame outside torch, the standard library and the tracer.

In backward no line of the model runs. There the line is that of the forward operator whose gradient is computed: an
autograd node carries a sequence number that was drawn in forward, by which torch's profiler, too, pairs the two
(https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.profiler.emit_nvtx, "forward-backward correlation").
"""

import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType

import torch
from torch.autograd import graph

from sslbench.bench.files import without_home

Origin = tuple[int, int]
"""Line, an index into `SourceLines.lines`, and module, an index into the trace's modules."""
UNKNOWN: Origin = (0, 0)

_PACKAGES = ("site-packages", "dist-packages")
_OWN = str(Path(__file__).parents[2])
_SKIPPED = tuple(str(Path(file).parent) for file in (torch.__file__, __file__))
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_ENGINE = graph._engine_run_backward.__code__
"""The frames above this one called backward; they do not compute."""


class SourceLines:
    """Finds and numbers source lines; 0 is a line that is not known."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {"": 0}
        """Index by `path:line`."""
        # By id, since the hash of a code object is that of all it holds; the object is kept, so that the id stays its.
        self._paths: dict[int, tuple[str, CodeType]] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._forward: dict[int, Origin] = {}
        """Origin of a forward operator by autograd's sequence number."""

    def forward(self, module: int) -> Origin:
        """Origin of the operator that runs now, in this module's forward; kept for its gradient."""
        origin = self._search(sys._getframe(1), module)
        if torch.is_grad_enabled():
            # An operator's node is made just before it runs; what runs later without a node sees the same number.
            self._forward.setdefault(torch._C._autograd._get_sequence_nr() - 1, origin)
        return origin

    def elsewhere(self, module: int) -> Origin:
        """Origin of the operator that runs now while the model is built, in backward or in the optimizer.

        Code that runs inside backward (a checkpointed module, an autograd function of one's own) is its own origin.
        """
        return self._search(sys._getframe(1), module)

    def _search(self, start: FrameType, module: int) -> Origin:
        frame: FrameType | None = start
        paths = self._paths
        while frame is not None:
            code = frame.f_code
            if code is _ENGINE:
                node = torch._C._current_autograd_node()
                known = None if node is None else self._forward.get(node._sequence_nr())
                if known is not None:
                    return known
            known_path = paths.get(id(code)) or paths.setdefault(id(code), (readable(code.co_filename), code))
            if known_path[0]:
                return self._index(id(code), frame.f_lineno, known_path[0]), module
            frame = frame.f_back
        return UNKNOWN[0], module

    def _index(self, code: int, line: int, path: str) -> int:
        index = self._known.get((code, line))
        if index is None:
            index = self._known[code, line] = self.lines.setdefault(f"{path}:{line}", len(self.lines))
        return index


def readable(filename: str) -> str:
    """A source file as a person knows it, the same on every host; empty where it is skipped.

    From the packages', the working, an imported or the user's home folder on; absolute where it lies elsewhere.
    """
    path = Path(filename)
    if filename.startswith("<") or path.is_relative_to(_SKIPPED[0]) or path.is_relative_to(_SKIPPED[1]):
        return ""
    package = next((place for place, part in enumerate(path.parts) if part in _PACKAGES), None)
    if package is not None:
        return "/".join(path.parts[package + 1 :])
    if path.is_relative_to(_STANDARD_LIBRARY):
        return ""
    if path.is_relative_to(_OWN) and (path.parent / "__init__.py").is_file():
        return f"sslbench/{path.relative_to(_OWN).as_posix()}"
    root = next((root for root in (str(Path.cwd()), *sys.path) if root and path.is_relative_to(root)), None)
    return without_home(path.as_posix()) if root is None else path.relative_to(root).as_posix()
