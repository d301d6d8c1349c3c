"""`sslbench verify`: do the figures of a report hold?"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from sslbench.bench.commands.options import answer_format
from sslbench.bench.commands.output import print_json
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.bench.verification import EXIT_AS_FAR_AS_CHECKED, EXIT_DIFFERS, EXIT_HOLDS, Verification

Progress = Callable[[str, int, int | None], None]
_WORST_FIRST = (EXIT_DIFFERS, EXIT_AS_FAR_AS_CHECKED, EXIT_HOLDS)


@click.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--no-predictions", is_flag=True, help="Compute no prediction again, which needs no PyTorch and no time.")
@answer_format
@click.pass_context
def command(ctx: click.Context, /, *, files: tuple[Path, ...], no_predictions: bool, format_: str) -> None:
    """Check whether the figures of a report hold.

    FILE is a report (`sslbench report`), or a file of records. A report is rendered again from the records in it, and
    what differs is named; every prediction is computed again from its recipe and machine with the software here; of a
    measurement, which cannot be made again, the figures must follow from its timed steps.

    Nothing that FILE names is fetched or run: a step of one's own is not computed again.

    Exit code: 0 all of it holds, 1 something does not, 2 it could not be read, 3 what could be checked holds.
    """
    with step_progress("verify") as progress:
        found = [_verified(path, again=not no_predictions, progress=progress) for path in files]
    _tell(found, format_)
    codes = {each.exit_code for each in found}
    ctx.exit(next(code for code in _WORST_FIRST if code in codes))


def _verified(path: Path, *, again: bool, progress: Progress | None) -> Verification:
    from sslbench.bench.comparison_check import check_comparisons  # noqa: PLC0415 - imports numpy
    from sslbench.bench.verify import check_records  # noqa: PLC0415 - as above
    from sslbench.reports.contents import is_page, load_contents, read_text, render_page  # noqa: PLC0415 - jinja2
    from sslbench.reports.page_check import check_page  # noqa: PLC0415 - as above

    text, contents = read_text(path), load_contents(path)
    checks = [check_page(text, render_page(contents))] if is_page(text) else []
    for check in check_records(contents.records, TraceCache(cache_folder()) if again else None):
        checks.append(check)
        if progress is not None:
            progress("verified", len(checks), None)
    return Verification(file=str(path), checks=(*checks, *check_comparisons(contents.comparisons)))


def _tell(found: Sequence[Verification], format_: str) -> None:
    from sslbench.reports.verify_text import verification_markdown, verification_text  # noqa: PLC0415 - imports jinja2

    if format_ == "json":
        tables = [json.loads(each.model_dump_json()) | {"exit_code": each.exit_code} for each in found]
        print_json(tables[0] if len(tables) == 1 else tables)
    else:
        render = verification_markdown if format_ == "markdown" else verification_text
        click.echo("\n".join(render(each) for each in found), nl=False)
