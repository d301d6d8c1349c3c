"""How a model is exported and run by ONNX Runtime: what `--onnx KEY=VALUE` sets. Standard library only."""

from collections.abc import Callable, Mapping
from typing import Any

from sslbench.bench.errors import MeasureError

Value = bool | int | float | str
LOWEST_OPSET = 18
"""The oldest operator set that torch's exporter writes (torch.onnx.export, `dynamo=True`)."""

GRAPH = ("all", "extended", "basic", "off")
EXECUTION = ("sequential", "parallel")

_Check = tuple[str, Callable[[Value], bool]]


def _one_of(words: tuple[str, ...]) -> _Check:
    return " or ".join((", ".join(words[:-1]), words[-1])), lambda value: value in words


def _whole(least: int) -> _Check:
    return f"a whole number from {least} on", lambda value: type(value) is int and value >= least


_SWITCH: _Check = ("true or false", lambda value: isinstance(value, bool))
_CHECKS: dict[str, _Check] = {
    "graph": _one_of(GRAPH),
    "execution": _one_of(EXECUTION),
    "threads": _whole(1),
    "inter_threads": _whole(1),
    "arena": _SWITCH,
    "memory_pattern": _SWITCH,
    "spinning": _SWITCH,
    "opset": _whole(LOWEST_OPSET),
}
KEYS = tuple(_CHECKS)
"""Every key, see docs/onnx.md."""


def check_settings(given: Mapping[str, Any]) -> None:
    """Refuse a key or a value that does not exist.

    Raises:
        MeasureError: names the key, what was expected and what was given.
    """
    for key, value in given.items():
        if key not in _CHECKS:
            raise MeasureError(f"--onnx {key}: there is no such option: it takes {', '.join(KEYS)}")
        expected, is_right = _CHECKS[key]
        if not is_right(value):
            raise MeasureError(f"--onnx {key}: expected {expected}, got {_spelled(value)}")
    if given.get("inter_threads", 1) != 1 and given.get("execution") != "parallel":
        raise MeasureError("--onnx inter_threads: only execution=parallel runs operators side by side: set that, too")


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
