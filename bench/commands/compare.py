"""`sslbench compare`: did it get worse?"""

from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.gate_options import LIMIT_OPTIONS, answer, check_outputs, gate_options, limits_from
from sslbench.bench.comparison import Comparison
from sslbench.bench.files import without_home
from sslbench.bench.gate.load import measurements_of
from sslbench.bench.gate.snapshot import is_snapshot
from sslbench.bench.gate.timed import compare_records


@click.command("compare")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="Snapshots: folder whose code is traced again, or a snapshot.  [default: .]",
)
@gate_options(*LIMIT_OPTIONS)
@click.pass_context
def command(ctx: click.Context, /, *, base: Path, new: Path | None, against: Path | None, **params: Any) -> None:
    """Compare BASE with NEW: did it get worse, and where?

    Two sides of measured records (`sslbench profile -o`: a file, or a folder of them; several records of a step are
    repeats of it) are compared statistically. A snapshot (`sslbench snapshot`) is compared exactly, with the code as it
    is now or another snapshot.

    Exit code: 0 no regression, 1 a regression, 2 it could not be compared, 3 noise hides the answer.
    """
    check_outputs(params)
    answer(ctx, _comparison(base, new, against, params))


def _comparison(base: Path, new: Path | None, against: Path | None, params: dict[str, Any]) -> Comparison:
    if new is not None and against is not None:
        raise click.UsageError("NEW and --against are the same: name one of them")
    other, limits = new or against, limits_from(params)
    if base.is_file() and is_snapshot(base):
        from sslbench.bench.gate.exact import compare_snapshots  # noqa: PLC0415 - imports torch where it traces

        return compare_snapshots(base, other or Path(), limits, params["allow"])
    if other is None:
        raise click.UsageError("Missing argument 'NEW': the records to compare with BASE.")
    sides = [measurements_of(path) for path in (base, other)]
    return compare_records(
        *sides, names=(without_home(str(base)), without_home(str(other))), limits=limits, allow=params["allow"]
    )
