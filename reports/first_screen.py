"""What a report says first of one prediction, and of several of one recipe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.view import PredictionView


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of the first screen."""

    name: str
    value: str
    below: tuple[str, ...] = ()
    """Interval, and what else belongs to it."""


def facts(view: PredictionView, record: Record) -> tuple[Fact, ...]:
    """The figures of one prediction that a reader wants first."""
    run = view.run
    moot = "if it fit" if view.verdict.key == "does-not-fit" else ""
    fits = f"fits with a probability of {view.probability}" if view.probability else ""
    asked = f"asked for: {record.recipe.batch_size:,}" if record.recipe.batch_size else ""
    step_energy = f"{run.step_energy} a step" if run.step_energy else ""
    found = (
        Fact("Memory needed", view.memory, _known(view.memory_interval, fits)),
        Fact("Step time", view.step_time, _known(view.step_interval, view.throughput, moot)),
        Fact("Largest batch that fits", view.max_batch, _known(asked)),
        Fact("Whole run", run.time, _known(run.time_interval, run.budget)),
        Fact("Rent of the run", run.rent, _known(run.rent_interval)),
        Fact("Energy of the run", run.energy, _known(run.energy_interval, step_energy)),
        Fact("Electricity of the run", run.electricity),
        Fact("To buy", run.buy, _known(f"pays after {run.break_even}" if run.break_even else "")),
    )
    return tuple(fact for fact in found if fact.value)


def _known(*texts: str) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def advice(record: Record) -> str:
    """What to do where a step does not surely fit; empty where it does."""
    largest = record.max_batch_size
    if record.verdict == "tight":
        return "The error of the prediction reaches over what the machine has: run it once, or leave more room." + (
            f" Largest batch that is predicted to fit: {largest:,}." if largest else ""
        )
    if record.verdict == "spills":
        return "It needs more of the shared memory than the device may use whole: expect it to be slow, or take less."
    if record.verdict != "does-not-fit":
        return ""
    other = _other_settings(record)
    if largest:
        return f"Take a batch of at most {largest:,}" + (f", or keep the batch with {other}." if other else ".")
    if largest == 0:
        return "Not even a batch of 1 fits" + (f": take {other}." if other else ": take a larger machine.")
    return f"Take {other}." if other else ""


def _other_settings(record: Record) -> str:
    """Settings of the what-if grid under which the batch fits, those nearest to the recipe's own first."""
    own = (record.recipe.precision, record.recipe.activation_checkpointing)
    fitting = [
        (each.precision, each.activation_checkpointing)
        for each in (record.what_if.settings if record.what_if else ())
        if (each.max_batch_size or 0) >= (record.recipe.batch_size or 1)
    ]
    if not fitting:
        return ""
    precision, checkpointing = min(fitting, key=lambda pair: (pair[0] != own[0]) + (pair[1] != own[1]))
    changed: list[str] = [precision] if precision != own[0] else []
    changed += ["activation checkpointing"] if checkpointing and not own[1] else []
    return " and ".join(changed)


def highlights(views: Sequence[PredictionView], marks: Sequence[Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    """The best of some predictions of one recipe: what it is best at, the machine, and the figures."""
    for view, own in zip(views, marks, strict=True):
        figures = {
            "fastest": f"{view.step_time} a step",
            "cheapest run": view.run.rent,
            "least energy": view.run.energy,
            "least memory": view.required,
        }
        if own:
            yield ", ".join(own).capitalize(), view.machine, ", ".join(figures[mark] for mark in own)
