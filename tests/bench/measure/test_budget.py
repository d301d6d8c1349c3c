import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import Budget


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "--steps: at least 1, got 0"),
        ({"warmup": 1}, "--warmup: at least 2 steps, got 1"),
        ({"tolerance": float("nan")}, "--tolerance: more than 0 and less than 100 %, got nan %"),
        ({"max_seconds": float("nan")}, "--max-seconds: more than 0 seconds, got nan"),
        ({"timeout": 0}, "--timeout: more than 0 seconds, got 0"),
    ],
)
def test_a_value_out_of_range_names_its_option(values, message):
    with pytest.raises(MeasureError, match=message):
        Budget(**values)
