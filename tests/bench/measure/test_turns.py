import io
import json
import threading
import time

import pytest

from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.timing import HostClock
from sslbench.bench.measure.turns import FEWEST_TURNS, time_in_turns

RECIPE = {"precision": "fp32"}


def take(orders, *, steps=None, left_seconds=100.0, step=lambda: sum(range(100))):
    """What a worker says and measures that is given these orders."""
    spec = Spec(
        task="torch",
        backend="torch-cpu",
        recipe=RECIPE,
        steps=steps,
        warmup=2,
        tolerance=0.01,
        max_seconds=60,
        in_turns=True,
    )
    channel, outcome = io.BytesIO(), Outcome(warmup_steps=2)
    reporter = Reporter(channel, io.BytesIO(orders))
    time_in_turns(step, HostClock(), spec, reporter, outcome, left_seconds=left_seconds)
    return [json.loads(line) for line in channel.getvalue().splitlines()], outcome


def turns_of(events):
    return [event for event in events if event["event"] == "turn"]


def test_the_parent_says_when_and_a_worker_whose_parent_is_gone_ends():
    events, outcome = take(b"run\n", steps=16)
    assert [event["event"] for event in events if event["event"] != "step"] == ["turn", "phase", "turn"]
    assert turns_of(events)[0] == {"event": "turn", "steps": 0, "median": None, "enough": False, "spent": False}
    assert outcome.turns == [2]


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 21])
def test_the_asked_steps_are_dealt_out_over_the_turns(steps):
    events, outcome = take(b"run\n" * min(steps, FEWEST_TURNS) + b"end\n", steps=steps)
    assert sum(outcome.turns) == len(outcome.samples_seconds) == steps
    assert max(outcome.turns) - min(outcome.turns) <= 1
    assert [event["enough"] for event in turns_of(events)] == [False] * len(outcome.turns) + [True]


def test_steps_go_on_where_others_need_more_turns():
    _, outcome = take(b"run\n" * 10 + b"end\n", steps=16)
    assert outcome.turns == [2] * 10


def test_a_turn_without_seconds_has_one_step_and_says_that_they_are_spent():
    events, outcome = take(b"run\nend\n", steps=80, left_seconds=0.0)
    assert outcome.turns == [1]
    assert turns_of(events)[-1]["spent"]


def test_the_others_have_the_processor_only_when_no_thread_computes():
    busy_until = time.monotonic() + 0.3
    thread = threading.Thread(target=lambda: [None for _ in iter(lambda: time.monotonic() < busy_until, False)])
    thread.start()
    take(b"", steps=8)
    assert not thread.is_alive()


def test_every_turn_begins_with_a_step_that_is_not_timed():
    calls = []
    _, outcome = take(b"run\nrun\nend\n", steps=16, step=lambda: calls.append(None))
    assert len(calls) == len(outcome.samples_seconds) + 2
