"""What must be equal in two measurements before their numbers may be compared. No torch."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from sslbench.bench.comparison import version_differences
from sslbench.bench.record import Record

Kind = Literal["machine", "versions", "precision", "recipe"]
KINDS: tuple[Kind, ...] = ("machine", "versions", "precision", "recipe")
"""What `--allow` takes."""
_NOT_COMPARED = {"title", "paper", "factory", "precision"}


def differences(base: Record, new: Record) -> list[tuple[Kind, str]]:
    """What differs and should not, each as a kind of `--allow` and words."""
    return [*_machine(base, new), *_versions(base, new), *_precision(base, new), *_recipe(base, new)]


def refused(base: Record, new: Record, allow: Collection[str]) -> tuple[list[str], list[str]]:
    """Reasons why the two may not be compared, and what differs but was allowed."""
    found = differences(base, new)
    reasons = [f"{words} (--allow {kind} compares all the same)" for kind, words in found if kind not in allow]
    return reasons, [f"allowed: {words}" for kind, words in found if kind in allow]


def step_of(record: Record) -> tuple[str, ...]:
    """What the records of one step have in common: its name, and where it runs. Its sizes may have changed."""
    scaling = record.scaling
    devices = f"{scaling.devices} devices, {scaling.strategy}" if scaling else ""
    return (record.recipe.name, record.recipe.stage, record.backend, devices)


def settings_of(record: Record) -> dict[str, Any]:
    """All that the step is, but the folder that its file lies in."""
    recipe = record.recipe
    factory = {"factory": Path(recipe.factory).name} if recipe.factory else {}
    onnx = {f"onnx {key}": value for key, value in (record.onnx or {}).items()}
    return {**recipe.model_dump(exclude=_NOT_COMPARED), **factory, **onnx}


def _machine(base: Record, new: Record) -> list[tuple[Kind, str]]:
    found: list[tuple[Kind, str]] = []
    for what, then, now in (
        ("processor", base.environment.processor, new.environment.processor),
        ("cores", base.environment.logical_cores, new.environment.logical_cores),
        ("machine", base.machine.title, new.machine.title),
        ("threads", base.environment.threads, new.environment.threads),
    ):
        if then != now:
            found.append(("machine", f"{what} {then}, now {now}"))
    return found


def _versions(base: Record, new: Record) -> list[tuple[Kind, str]]:
    sides = (
        {**one.packages, "python": one.python, "sslbench": one.sslbench} for one in (base.environment, new.environment)
    )
    return [("versions", words) for words in version_differences(*sides)]


def _precision(base: Record, new: Record) -> list[tuple[Kind, str]]:
    then, now = base.recipe.precision, new.recipe.precision
    return [("precision", f"precision {then}, now {now}")] if then != now else []


def _recipe(base: Record, new: Record) -> list[tuple[Kind, str]]:
    then, now = settings_of(base), settings_of(new)
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [("recipe", f"{name} {then.get(name)}, now {now.get(name)}") for name in names]
