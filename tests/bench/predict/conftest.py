import gzip
import json
from pathlib import Path

import pytest

from sslbench.bench.trace.events import FORWARD, Call, OperatorKind, Trace

STEPS = Path(__file__).parents[2] / "data" / "timm_steps.json.gz"


@pytest.fixture(scope="session")
def timm_steps():
    """(table, trace without storages) of steps as timm's benchmark.py runs them; the table says what was published."""
    return [(step, _trace(step)) for step in json.loads(gzip.decompress(STEPS.read_bytes()))]


def _trace(step):
    kinds = [OperatorKind("aten.view.default", (), 0, 0, 0, is_view=True)]
    calls = [Call(0, FORWARD, 0)] * step["views"]
    for count, name, flops, read, written, channels_last, inputs in step["kinds"]:
        shapes = tuple((dtype, tuple(shape)) for dtype, shape in inputs)
        kinds.append(OperatorKind(name, shapes, flops, read, written, channels_last=channels_last))
        calls += [Call(len(kinds) - 1, FORWARD, 0)] * count
    return Trace(
        target="cuda",
        batch_size=step["batch"],
        storages=(),
        events=(),
        marks=(0, 0, 0),
        phase_marks=(),
        kinds=tuple(kinds),
        calls=tuple(calls),
        modules=("",),
        parameters=0,
    )
