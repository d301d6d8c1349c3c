"""`sslbench choose`: which machine for a recipe."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from sslbench.bench.choose import Choice, Limits, choose, with_counts
from sslbench.bench.commands.options import arguments_of, changes_from, output_options, recipe_options
from sslbench.bench.commands.output import announce, check_open, keep
from sslbench.bench.commands.run_options import links_and_price, positive, run_of, run_options, with_budget
from sslbench.bench.machines import find_machine, profile_errors
from sslbench.bench.record import dump_records
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.hardware_profiles.loader import shipped_machines

_NONE_FITS, _TIGHT = 1, 3
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(s|min|h|d|w)", re.IGNORECASE)


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _seconds_of(value):
        raise click.BadParameter(f"{value!r} is not a time such as 12h, 3d or 2w", ctx, param)
    return value


def _seconds_of(text: str) -> float:
    """Seconds of `12h`, `3d`, ...; 0 where it is no such time."""
    match = _DURATION.fullmatch(text.strip())
    return float(match[1]) * _SECONDS[match[2].lower()] if match else 0.0


@click.command("choose")
@recipe_options
@click.option(
    "machines",
    "--machine",
    multiple=True,
    metavar="MACHINE",
    help="Candidate; repeat for more.  [default: the shipped profiles of GPUs]",
)
@click.option(
    "--devices",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Each machine with 1, 2, 4, ... devices, up to so many.",
)
@click.option(
    "--by",
    type=click.Choice(["cost", "speed", "energy"]),
    default="cost",
    show_default=True,
    help="What they are ranked by.",
)
@click.option("--within", callback=_duration, metavar="TIME", help="Longest that the run may take: 12h, 3d, 2w.")
@click.option("--budget-usd", type=float, callback=positive, metavar="USD", help="Most that renting may cost.")
@click.option("--no-cache", is_flag=True, help="Trace the step again, and keep nothing.")
@run_options
@output_options
def command(
    *,
    machines: tuple[str, ...],
    devices: int,
    by: Any,
    within: str | None,
    budget_usd: float | None,
    no_cache: bool,
    format_: str,
    output: Path | None,
    open_: bool,
    **params: Any,
) -> None:
    """Rank machines for RECIPE: which fits, how fast, at what cost.

    Predicts the whole run of the recipe's budget on every candidate; nothing is run. What does not fit, or is over a
    limit, comes last and says why.

    Exit code: 0 at least one machine fits and is within the limits, 1 none, 3 those that are fit tightly.
    """
    check_open(output, open_=open_)
    recipe = with_budget(resolve_recipe(params["recipe"], changes_from(params)), params)
    changes = links_and_price(params)
    with profile_errors():
        shipped = [machine.name for machine in shipped_machines() if machine.device.kind != "cpu"]
    found = [find_machine(name, **(changes if machines else _price_only(changes))) for name in machines or shipped]
    choices = choose(
        recipe,
        list(with_counts(found, devices)),
        by=by,
        limits=Limits(seconds=None if within is None else _seconds_of(within), usd=budget_usd),
        run=run_of(params),
        cache=TraceCache(None if no_cache else cache_folder()),
        command=arguments_of(click.get_current_context()),
    )
    _emit(choices, format_=format_, output=output, open_=open_)
    click.get_current_context().exit(exit_code(choices))


def _price_only(changes: dict[str, Any]) -> dict[str, Any]:
    """Of the shipped profiles each keeps its own links; a network is between machines of any kind."""
    given = [name for name in ("link", "rent_usd_per_hour") if changes[name] is not None]
    if given:
        raise click.UsageError("--link and --price are of one kind of machine: name it with --machine")
    return {}


def _emit(choices: list[Choice], *, format_: str, output: Path | None, open_: bool) -> None:
    pairs, records = [(choice.record, choice.out) for choice in choices], [choice.record for choice in choices]
    keep(records, output)
    if format_ == "json":
        click.echo(dump_records(records), nl=False)
    else:
        from rich.console import Console  # noqa: PLC0415 - takes a tenth of a second

        from sslbench.reports.choice import choices_markdown, print_choices  # noqa: PLC0415 - imports rich

        if format_ == "markdown":
            click.echo(choices_markdown(pairs), nl=False)
        else:
            print_choices(pairs, Console(file=sys.stdout))
    announce(output, open_=open_, data="records")


def exit_code(choices: list[Choice]) -> int:
    """0 where a machine is left that fits, 3 where those that are left are tight, 1 where none is."""
    verdicts = {choice.record.verdict for choice in choices if not choice.out}
    if "fits" in verdicts:
        return 0
    return _TIGHT if verdicts else _NONE_FITS
