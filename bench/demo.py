"""The newcomer's tour: small recipes measured here, large ones predicted, each part by itself. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.fit import fit
from sslbench.bench.machines import find_machine
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import Progress, measure
from sslbench.bench.quantities import Backend
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache
from sslbench.hardware_profiles.here import nvidia_card, processor_here

SMALL = ("bert-mini-mlm", "simclr-resnet18")
"""Measured here: recipes that a laptop's processor runs in seconds."""
LARGE = ("bert-base-mlm", "simclr-resnet50")
"""Predicted only."""
CARDS = ("rtx-4090", "h200")
RUNS: tuple[tuple[str, Backend], ...] = (("train", "torch-cpu"), ("infer", "torch-cpu"), ("infer", "onnx-cpu"))
MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One question of the tour."""

    title: str
    run: Callable[[Progress | None], list[Record]]
    """Tells its progress in steps where it has any."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one part came to: records, or why there are none."""

    part: Part
    records: tuple[Record, ...] = ()
    failure: str = ""


def tour(*, seconds: float, cache: TraceCache) -> list[Part]:
    """The parts of the tour: measurements, predictions of the same steps, predictions at full size.

    Args:
        seconds: how long each measurement runs steps; start-up and export come on top.
        cache: where traces are kept.
    """
    stages = dict.fromkeys(stage for stage, _ in RUNS)
    return [
        *(_measurement(name, stage, backend, seconds) for name in SMALL for stage, backend in RUNS),
        *(_prediction(name, stage, (), cache) for name in SMALL for stage in stages),
        *(_prediction(name, "train", CARDS, cache) for name in LARGE),
    ]


def answer(part: Part, progress: Progress | None = None) -> Answer:
    """Run a part; whatever breaks it is told in its answer, so that the next ones still run."""
    try:
        return Answer(part, records=tuple(part.run(progress)))
    except SSLBenchError as error:
        return Answer(part, failure=" ".join(str(error).split()))
    except Exception as error:  # a missing library, a full disk, a defect of ours: the tour goes on
        return Answer(part, failure=f"{type(error).__name__}: {' '.join(str(error).split())}")


def _measurement(name: str, stage: str, backend: Backend, seconds: float) -> Part:
    command = ["profile", name, "--stage", stage, "--backend", backend, "--steps", str(MOST_STEPS)]
    command += ["--max-seconds", f"{seconds:g}"]

    def run(progress: Progress | None) -> list[Record]:
        recipe = resolve_recipe(name, {"stage": stage})
        record = measure(
            recipe,
            backend=backend,
            budget=Budget(steps=MOST_STEPS, max_seconds=seconds),
            command=command,
            progress=progress,
        )
        return [record]

    return Part(f"measure {name}, {stage}, {backend}", run)


def _prediction(name: str, stage: str, cards: tuple[str, ...], cache: TraceCache) -> Part:
    """Predict for this machine's processor and for some cards."""

    def run(progress: Progress | None) -> list[Record]:
        machines = [processor_here(), *map(find_machine, cards)]
        command = ["fit", name, "--stage", stage]
        for machine in ("here", *cards):
            command += ["--machine", machine]
        # Beside a card `here` is the card, and no command but the demo itself asks for the processor.
        return fit(
            resolve_recipe(name, {"stage": stage}),
            machines,
            cache=cache,
            command=command if nvidia_card() is None else ["demo"],
        )

    return Part(f"predict {name}, {stage}, {', '.join(('this processor', *cards))}", run)
