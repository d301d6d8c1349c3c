"""Step times of timm models that no factor was fitted to, against timm's published throughput.

`tests/data/timm_steps.json.gz` has the operators of 40 steps, drawn at random from that half of the models, as timm's
benchmark.py runs them (normalisations in half precision in inference), and what was published of each.
Source: https://github.com/huggingface/pytorch-image-models/tree/main/results.
"""

from statistics import mean, median

import pytest

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.time import predict_time

MOST_MEAN_ERROR = 0.08
MOST_MEDIAN_ERROR = 0.06
LEAST_INSIDE = 0.85


@pytest.fixture(scope="module")
def compared(timm_steps):
    """(predicted over published, whether the interval holds it) of every published row."""
    found = []
    for step, trace in timm_steps:
        for row in step["published"]:
            time = predict_time(trace, find_machine(row["machine"]))
            seconds = step["batch"] / row["images_per_second"]
            low, high = time.interval_seconds
            found.append((time.step_seconds / seconds, low <= seconds <= high))
    return found


def test_held_out_models_are_predicted(compared):
    errors = [abs(ratio - 1) for ratio, _ in compared]
    assert mean(errors) <= MOST_MEAN_ERROR
    assert median(errors) <= MOST_MEDIAN_ERROR


def test_the_interval_holds_what_it_promises(compared):
    assert mean(inside for _, inside in compared) >= LEAST_INSIDE
