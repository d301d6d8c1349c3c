"""How often `sslbench ab` is wrong on a noisy machine: docs/gate.md has what came out.

    python tests/studies/gate_study.py measure --sessions 6    # goes on with tests/data/gate/sessions.jsonl
    python tests/studies/gate_study.py judge                   # the figures of docs/gate.md

A session is one real `ab` with its default options, of two commits of a small git repository: the same step twice
(A/A), or a step with 100 and one with 105 equal matrix products (A/B, 5 % more work). Every sixth is an A/B. Each that
ends is appended, whatever it says; the file holds the ratio of every round of every launch, so that other rules can be
tried on it. Rules that were chosen on a file are to be judged by a new one. `judge` counts the outcomes; besides, those
of sessions that are drawn from the launches of all, and of every launch by itself.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from contextlib import chdir
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import NormalDist, median

import numpy as np

from sslbench.bench.ab import Plan, measure_revisions
from sslbench.bench.gate.judge import judged_ratio
from sslbench.bench.gate.ratio import ratio_of_launches
from sslbench.bench.gate.timed import SLOWDOWN_IN_TURNS
from sslbench.bench.git import git
from sslbench.bench.measure.waited import undisturbed_seconds

SESSIONS = Path(__file__).parents[1] / "data" / "gate" / "sessions.jsonl"
STEP = """
import torch

def build(device):
    x = torch.randn(128, 128, device=device)
    weight = torch.randn(128, 128, device=device) / 128**0.5

    def step():
        y = x
        for _ in range({products}):
            y = torch.tanh(y @ weight)
        return y

    return step
"""
PRODUCTS = {"A/A": (100, 100), "A/B": (100, 105)}
TRUTH = {kind: after / before - 1 for kind, (before, after) in PRODUCTS.items()}
DRAWS = 2000
EVERY = 6
"""So many sessions have one A/B among them."""


def as_somebody(*arguments):
    git(Path(), "-c", "user.name=study", "-c", "user.email=study@example.org", *arguments)


def revisions(products):
    """Two commits in the working folder's new repository, that have so many products."""
    as_somebody("init", "--quiet")
    for number, count in enumerate(products):
        Path("step.py").write_text(f"# {number}\n" + STEP.format(products=count))
        as_somebody("add", "step.py")
        as_somebody("commit", "--quiet", "-m", f"{count} products")
    return "HEAD~1", "HEAD"


def turns(record):
    samples = undisturbed_seconds(record.time.samples_seconds, record.time.waited_seconds, record.environment.threads)
    return [median(samples[a:b]) for a, b in pairwise(accumulate(record.turns.steps, initial=0))]


def measure_session(kind):
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        plan = Plan(argument="step.py:build", revisions=revisions(PRODUCTS[kind]), changes={}, backend="torch-cpu")
        _, sides = measure_revisions(plan, lambda *_: None)
    launches = [[turns(record) for record in launch] for launch in zip(*sides, strict=True)]
    return {
        "kind": kind,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "sslbench": version("sslbench"),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "seconds": round(time.monotonic() - began, 1),
        "base_seconds": [float(f"{median(base):.4g}") for base, _ in launches],
        "ratios": [[round(new / base, 4) for base, new in zip(*launch, strict=False)] for launch in launches],
    }


def measure(path, sessions):
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(sessions):
        done = len(path.read_text().splitlines()) if path.exists() else 0
        session = measure_session("A/B" if done % EVERY == EVERY - 1 else "A/A")
        outcome, ratio = judged(session)
        session["outcome"], session["change"] = outcome, round(ratio.change, 4)
        with path.open("a") as file:
            file.write(json.dumps(session) + "\n")
        print(done + 1, session["kind"], f"{session['seconds']:.0f} s", outcome, f"{ratio.change:+.2%}", flush=True)


def judged(session, launches=slice(None)):
    """Outcome and ratio of a session, or of some of its launches."""
    ratios = session["ratios"][launches]
    ratio = ratio_of_launches([[1.0] * len(rounds) for rounds in ratios], ratios)
    return judged_ratio(ratio, SLOWDOWN_IN_TURNS.share)[0], ratio


def judge(path):
    sessions = [json.loads(line) for line in path.read_text().splitlines()]
    for kind in PRODUCTS:
        chosen = [session for session in sessions if session["kind"] == kind]
        if chosen:
            tell(kind, chosen)
        print("  drawn:", dict(Counter(judged(session)[0] for session in drawn(sessions, kind))))
    loads = [load for session in sessions for load in session["load"]]
    print(f"load average {min(loads)} to {max(loads)}, median {median(loads)}")
    between = [float(np.std([np.log(median(rounds)) for rounds in s["ratios"]], ddof=1)) for s in sessions]
    print(f"standard deviation of a launch's ratio within a session: median {median(between):.2%}")


def tell(kind, sessions):
    outcomes = Counter(judged(session)[0] for session in sessions)
    ratios = [judged(session)[1] for session in sessions]
    held = sum(low <= TRUTH[kind] <= high for low, high in (ratio.interval for ratio in ratios))
    changes = sorted(ratio.change for ratio in ratios)
    print(f"{kind}: {len(sessions)} sessions, median {median(s['seconds'] for s in sessions):.0f} s")
    for outcome in ("pass", "improvement", "regression", "inconclusive"):
        count = outcomes[outcome]
        low, high = wilson(count, len(sessions))
        print(f"  {outcome}: {count}, 95 % interval of the rate {low:.1%} to {high:.1%}")
    print(f"  changes from {changes[0]:+.2%} to {changes[-1]:+.2%}, median {median(changes):+.2%}")
    print(f"  intervals that hold {TRUTH[kind]:+.0%}: {held}, median width {median(width(r) for r in ratios):.2%}")
    beyond = sum(ratio.interval[0] > SLOWDOWN_IN_TURNS.share for ratio in ratios)
    print(f"  intervals that exclude the limit, too: {beyond}")
    alone = Counter(judged(s, slice(at, at + 1))[0] for s in sessions for at in range(len(s["ratios"])))
    print("  one launch alone:", dict(alone))


def drawn(sessions, kind):
    """Sessions whose launches are drawn from all that were measured, less their true change, the sides in any order."""
    random = np.random.default_rng(1)
    errors = [np.log(median(rounds) / (1 + TRUTH[s["kind"]])) for s in sessions for rounds in s["ratios"]]
    shape = DRAWS, len(sessions[0]["ratios"])
    for launches in random.choice(errors, shape) * random.choice([-1, 1], shape):
        yield {"ratios": [[(1 + TRUTH[kind]) * float(np.exp(error))] for error in launches]}


def wilson(count, total):
    """95 % interval of a rate (Wilson, "Probable inference, the law of succession", 1927)."""
    z, rate = NormalDist().inv_cdf(0.975), count / total
    middle, reach = rate + z * z / (2 * total), z * (rate * (1 - rate) / total + (z / (2 * total)) ** 2) ** 0.5
    return max(0.0, (middle - reach) / (1 + z * z / total)), (middle + reach) / (1 + z * z / total)


def width(ratio):
    return ratio.interval[1] - ratio.interval[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["measure", "judge"])
    parser.add_argument("file", type=Path, nargs="?", default=SESSIONS)
    parser.add_argument("--sessions", type=int, default=EVERY)
    asked = parser.parse_args()
    if asked.action == "measure":
        measure(asked.file.resolve(), asked.sessions)
    else:
        judge(asked.file)
