"""What a prediction for ONNX Runtime rests on: as `sslbench.bench.predict.explain`, with its own constants."""

import re
from collections.abc import Iterator

from sslbench.bench.explanation import ConstantUsed, Explanation
from sslbench.bench.predict import capacity, memory, onnx_memory, workspace
from sslbench.bench.predict.constants import constants_used, documented
from sslbench.bench.predict.explain import at_peak, operator_times, phase_peaks, timeline
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine

_SHARED = "HOST_USABLE"
"""The only constant of torch's memory that counts here."""
_EAGER = re.compile("CPU_(CALLS|FRESH_|.*HEAP_)")
"""Of the time: nothing runs between operators, and the arena keeps what it has."""


def explain_onnx(trace: Trace, machine: Machine) -> Explanation:
    """What the prediction of an ONNX graph's trace on a machine rests on."""
    operators = operator_times(trace, machine)
    launched = sum(not kind.is_view for kind in trace.kinds)
    return Explanation(
        timeline=timeline(trace),
        phase_peaks_bytes=phase_peaks(trace),
        alive_at_peak=at_peak(trace),
        device_seconds=sum(row.seconds for row in operators),
        launch_seconds=launched * machine.device.launch_seconds.value,
        operators=operators,
        constants=[*_shared(trace, machine), *_own()],
    )


def _shared(trace: Trace, machine: Machine) -> Iterator[ConstantUsed]:
    torchs = {name for module in (capacity, workspace, memory) for name in documented(module)}
    dropped = torchs - {_SHARED}
    used = constants_used(trace, machine)
    return (one for one in used if one.name not in dropped and not _EAGER.match(one.name))


def _own() -> Iterator[ConstantUsed]:
    for name, text in documented(onnx_memory).items():
        meaning, _, source = text.partition(". ")
        yield ConstantUsed(
            name=name,
            value=float(getattr(onnx_memory, name)),
            unit="B" if name.endswith("_BYTES") else "",
            meaning=meaning.removesuffix("."),
            source=source.removesuffix(".") or onnx_memory.SOURCE,
        )
