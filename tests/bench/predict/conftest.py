import pytest

from sslbench.bench.trace.events import FORWARD, Call, Trace


@pytest.fixture(scope="session")
def step_of():
    """Makes the trace of a step on a GPU that calls operators of these kinds, one after the other."""
    return _of


def _of(*kinds, tf32=False):
    places = {kind: place for place, kind in enumerate(dict.fromkeys(kinds))}
    return Trace(
        target="cuda",
        batch_size=None,
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
