"""`sslbench validate`: the tool's own accuracy, against measurements."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from sslbench.bench.accuracy import Comparison, accuracy, verdicts, worsened
from sslbench.bench.commands.options import answer_format
from sslbench.bench.commands.output import print_json
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.errors import RecipeError, RecordError
from sslbench.bench.published.rows import PublishedRow, published_rows
from sslbench.bench.published.timm import GROUPS as TIMM_GROUPS
from sslbench.bench.record import load_records
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.bench.validate import compare_published, compare_records, compare_timm, not_compared
from sslbench.reports.accuracy import accuracy_markdown, as_table, print_accuracy

GROUPS = (*dict.fromkeys(row.group for row in published_rows()), *TIMM_GROUPS)


@click.command("validate")
@click.argument("records", nargs=-1, type=click.Path(path_type=Path), metavar="[RECORD]...")
@click.option("--group", "groups", multiple=True, type=click.Choice(GROUPS), help="Only these published rows.")
@click.option("--again", is_flag=True, help="Predict RECORD anew, whatever prediction it carries.")
@click.option("--rows", "show_rows", is_flag=True, help="Every row, not only the errors of its group.")
@answer_format
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    records: tuple[Path, ...],
    groups: tuple[str, ...],
    again: bool,
    show_rows: bool,
    format_: str,
) -> None:
    """Set predictions beside what was measured, and show how far off they are.

    Without RECORD: measurements that others published, which come with sslbench, predicted again. With files of
    measured records (`sslbench profile -o`): those, row by row, each with the prediction that it carries or else one
    made now; published rows then only with --group.

    Exit code: 0 published rows are predicted as well as docs/accuracy.md states, 1 less well, 2 a step could not be
    predicted.
    """
    found = _of_files(records, again=again) if records else []
    if groups or not records:
        found += [*_of_rows(_at_hand(groups)), *compare_timm(groups or TIMM_GROUPS)]
    errors, decided = accuracy(found), verdicts(found)
    problems = worsened([*errors, *decided])
    shown = found if show_rows or records else ()
    if format_ == "json":
        print_json(as_table(errors, decided, found, problems))
    elif format_ == "markdown":
        click.echo(accuracy_markdown(errors, decided, shown), nl=False)
    else:
        print_accuracy(errors, decided, shown)
    for problem in problems:
        click.echo(f"sslbench: worse than stated: {problem}", err=True)
    ctx.exit(1 if problems else 0)


def _at_hand(groups: Sequence[str]) -> list[PublishedRow]:
    """The rows of the groups (all by default) whose packages are here; says on stderr which are left out."""
    wanted = [row for row in published_rows() if not groups or row.group in groups]
    here = [row for row in wanted if all(find_spec(package) for package in row.needs)]
    left = ", ".join(dict.fromkeys(row.group for row in wanted if row not in here))
    if wanted and not here:
        raise RecipeError(f"{left}: timm and torchvision are missing: pip install 'sslbench[timm]'")
    if left:
        click.echo(f"sslbench: left out {left}: pip install 'sslbench[timm]'", err=True)
    return here


def _of_rows(rows: Sequence[PublishedRow]) -> list[Comparison]:
    cache, found = TraceCache(cache_folder()), []
    with step_progress("published measurements") as progress:
        for comparison in compare_published(rows, cache):
            found.append(comparison)
            if progress is not None:
                progress("predicted", len(found), len(rows))
    return found


def _of_files(paths: Sequence[Path], *, again: bool) -> list[Comparison]:
    """Rows of the measured records; says on stderr which cannot be compared."""
    measured = [record for path in paths for record in load_records(path) if record.kind == "measurement"]
    if not measured:
        raise RecordError("no measured record in these files: `sslbench profile -o FILE` writes one")
    reasons = {id(record): not_compared(record) for record in measured}
    left = [f"{record.recipe.name} on {record.backend}: {why}" for record in measured if (why := reasons[id(record)])]
    if len(left) == len(measured):
        raise RecordError(f"nothing to compare: {left[0]}")
    for line in dict.fromkeys(left):
        click.echo(f"sslbench: left out {line}", err=True)
    compared = [record for record in measured if not reasons[id(record)]]
    return list(compare_records(compared, TraceCache(cache_folder()), again=again))
