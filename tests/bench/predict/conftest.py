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


@pytest.fixture(scope="session")
def step_of():
    """Makes the trace of a step on a GPU that calls operators of these kinds, one after the other."""
    return _of


def _trace(step):
    kinds = [OperatorKind("aten.view.default", (), 0, 0, 0, is_view=True)] * step["views"]
    for count, name, flops, read, written, channels_last, inputs in step["kinds"]:
        shapes = tuple((dtype, tuple(shape)) for dtype, shape in inputs)
        kinds += [OperatorKind(name, shapes, flops, read, written, channels_last=channels_last)] * count
    return _of(*kinds, batch_size=step["batch"])


def _of(*kinds, batch_size=None, tf32=False):
    places = {kind: place for place, kind in enumerate(dict.fromkeys(kinds))}
    return Trace(
        target="cuda",
        batch_size=batch_size,
        storages=(),
        events=(),
        marks=(0, 0, 0),
        phase_marks=(),
        kinds=tuple(places),
        calls=tuple(Call(places[kind], FORWARD, 0) for kind in kinds),
        modules=("",),
        parameters=0,
        tf32_matmul=tf32,
    )
