"""How often `sslbench ab` is wrong on a noisy machine: docs/gate.md has what came out.

    python tests/studies/gate_study.py measure FILE --kind A/A --sessions 30    # adds sessions to a JSON-lines file
    python tests/studies/gate_study.py measure FILE --kind A/B --sessions 30
    python tests/studies/gate_study.py judge FILE                               # the figures of docs/gate.md

A session is one real `ab` at its default budget, of two commits of a small git repository: the same step twice (A/A),
or a step with 100 and one with 105 equal matrix products (A/B, 5 % more work). `judge` counts the outcomes of the
sessions; of their quarters, as if each had been an `ab` of a shorter budget; and of comparisons that are drawn from the
sessions' rounds (block bootstrap), at the sessions' own budget.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from contextlib import chdir
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median

import numpy as np

from sslbench.bench.ab import Plan, measure_revisions
from sslbench.bench.comparison import Limit
from sslbench.bench.gate.judge import judged_ratio
from sslbench.bench.gate.ratio import ratio_of_turns
from sslbench.bench.gate.timed import SLOWDOWN_IN_TURNS
from sslbench.bench.git import git
from sslbench.bench.measure.waited import undisturbed_seconds

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
WORK = {kind: after / before - 1 for kind, (before, after) in PRODUCTS.items()}
"""The true change."""
STRETCHES = 4
DRAWS, BLOCK = 200, 8


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
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        plan = Plan(argument="step.py:build", revisions=revisions(PRODUCTS[kind]), changes={}, backend="torch-cpu")
        began = time.monotonic()
        _, records = measure_revisions(plan, lambda *_: None)
        wall = [median(record.time.samples_seconds) for record in records]
    seconds = time.monotonic() - began
    return {"kind": kind, "seconds": seconds, "wall": wall, "turns": [turns(record) for record in records]}


def measure(path, kind, sessions):
    for number in range(sessions):
        session = measure_session(kind)
        with path.open("a") as file:
            file.write(json.dumps(session) + "\n")
        found = judged(session["turns"])
        print(number, session["kind"], f"{session['seconds']:.0f} s", len(session["turns"][0]), *found, flush=True)


def judged(sides, limit=None):
    limit: Limit = limit or SLOWDOWN_IN_TURNS
    ratio = ratio_of_turns(*sides)
    return judged_ratio(ratio, limit.share)[0], round(ratio.change, 4), ratio.interval


def stretches(sides):
    """Parts of a session that share no round."""
    rounds = min(map(len, sides))
    edges = [rounds * at // STRETCHES for at in range(STRETCHES + 1)]
    return [[side[a:b] for side in sides] for a, b in pairwise(edges)]


def drawn(sessions):
    """Sides of comparisons at the default budget: a session at random, its rounds in blocks, the sides in any order."""
    random = np.random.default_rng(1)
    for _ in range(DRAWS):
        sides = np.array(list(shortest(random.choice(sessions)["turns"])))
        starts = random.integers(sides.shape[1], size=-(-sides.shape[1] // BLOCK))
        rounds = (starts[:, None] + np.arange(BLOCK)).ravel()[: sides.shape[1]] % sides.shape[1]
        yield sides[:, rounds].tolist()


def shortest(sides):
    rounds = min(map(len, sides))
    return [side[:rounds] for side in sides]


def judge(path):
    sessions = [json.loads(line) for line in path.read_text().splitlines()]
    for kind in PRODUCTS:
        chosen = [session for session in sessions if session["kind"] == kind]
        whole = [judged(session["turns"]) for session in chosen]
        changes = [change for _, change, _ in whole]
        print(f"{kind}: {len(chosen)} sessions, median {median(s['seconds'] for s in chosen):.0f} s")
        print(f"  changes from {min(changes):+.2%} to {max(changes):+.2%}, median {median(changes):+.2%}")
        shares = {
            "sessions": whole,
            "sessions, sides swapped": [judged(session["turns"][::-1]) for session in chosen],
            "quarters of sessions": [judged(part) for session in chosen for part in stretches(session["turns"])],
            "drawn": [judged(sides) for sides in drawn(chosen)],
            "drawn, sides swapped": [judged(sides[::-1]) for sides in drawn(chosen)],
        }
        for what, found in shares.items():
            print(f"  {what}: {len(found)}:", dict(Counter(outcome for outcome, *_ in found)))
    errors = [judged(session["turns"])[1] - WORK[session["kind"]] for session in sessions]
    held = [low <= WORK[s["kind"]] <= high for s in sessions for _, _, (low, high) in [judged(s["turns"])]]
    print(
        f"error of the change: standard deviation {np.std(errors, ddof=1):.2%}; intervals hold it: {np.mean(held):.0%}"
    )
    alone = {"wall time": [s["wall"][0] for s in sessions], "less waits": [median(s["turns"][0]) for s in sessions]}
    for what, medians in alone.items():
        print(f"one side alone, from session to session, {what}: {np.std(np.log(medians), ddof=1):.1%}")
    same = [judged(halves) for session in sessions for side in session["turns"] for halves in [interleaved(side)]]
    print("one process against itself, every second turn:", len(same), dict(Counter(outcome for outcome, *_ in same)))


def interleaved(turns):
    """Even and odd turns of one side, whose order changes from round to round."""
    return shortest([turns[0::2], turns[1::2]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["measure", "judge"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--kind", choices=list(PRODUCTS), default="A/A")
    asked = parser.parse_args()
    if asked.action == "measure":
        measure(asked.file, asked.kind, asked.sessions)
    else:
        judge(asked.file)
