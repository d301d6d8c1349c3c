"""`sslbench ab`: measure two git revisions of a step in turns, and compare them."""

from pathlib import Path
from typing import Any

import click

from sslbench.bench.ab import LAUNCHES, SECONDS, Plan, Sides, measure_revisions
from sslbench.bench.commands.gate_options import answer, check_outputs, gate_options, limits_from
from sslbench.bench.commands.options import arguments_of, changes_from, recipe_options
from sslbench.bench.commands.profile_options import tolerance
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.errors import OutputError
from sslbench.bench.files import write_atomically
from sslbench.bench.gate.timed import compare_records
from sslbench.bench.measure.backends import MEASURED, default_backend
from sslbench.bench.record import dump_records

_BACKENDS = [backend for backend in MEASURED if backend.startswith("torch")]


@click.command("ab")
@click.argument("base")
@click.argument("new")
@recipe_options
@click.option("--backend", type=click.Choice(_BACKENDS), help="Where it runs.  [default: what is here]")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPU threads: of one it is known what other programs took.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=1),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Timed steps, both sides and all launches together.",
)
@click.option(
    "--launches",
    type=click.IntRange(min=1),
    default=LAUNCHES,
    show_default=True,
    help="How often each side is started anew: a process keeps the speed that its memory layout gives it.",
)
@click.option(
    "--tolerance",
    default="2%",
    show_default=True,
    callback=tolerance,
    metavar="SHARE",
    help="End a launch before its share of that once its ratio is known this well: half of its 95 % interval.",
)
@click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write base.json and new.json there, for `compare` and `history`.",
)
@gate_options("slowdown", "memory", "energy")
@click.pass_context
def command(ctx: click.Context, /, *, base: str, new: str, recipe: str, **params: Any) -> None:
    """Measure RECIPE at the git revisions BASE and NEW in turns, and compare them.

    RECIPE is file.py:function or a recipe TOML of a git repository; `.` in place of a revision is the files as they
    are. Both revisions are checked out into temporary folders, and their steps run by turns, so that what else the
    machine does meets both alike; several times in fresh processes, since each has a speed of its own.

    Exit code: 0 no regression, 1 a regression, 2 it could not be compared, 3 noise hides the answer.
    """
    check_outputs(params)
    plan = Plan(
        argument=recipe,
        revisions=(base, new),
        changes=changes_from(params),
        backend=params["backend"] or default_backend(),
        threads=params["threads"],
        seconds=params["max_seconds"],
        tolerance=params["tolerance"],
        launches=params["launches"],
        command=tuple(arguments_of(ctx)),
    )
    with step_progress(f"{base} and {new}") as show:
        names, sides = measure_revisions(plan, show or _silent)
    _keep(params["records"], sides)
    answer(
        ctx,
        compare_records(*sides, names=(names[0], names[1]), limits=limits_from(params), allow=params["allow"]),
    )


def _silent(phase: str, done: int, total: int | None) -> None:
    """Nobody looks."""


def _keep(folder: Path | None, sides: Sides) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
    for name, records in zip(("base.json", "new.json"), sides, strict=True):
        write_atomically(folder / name, dump_records(records))
