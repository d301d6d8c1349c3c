"""`sslbench fit`: does a recipe fit a machine, and how fast does it run there."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.options import changes_from, output_options, recipe_options
from sslbench.bench.commands.output import emit
from sslbench.bench.fit import fit
from sslbench.bench.machines import find_machine
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache, cache_folder

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_DOES_NOT_FIT, _TIGHT = 1, 3
_EXIT_CODES = {"fits": 0, "tight": _TIGHT, "spills": _TIGHT, "does-not-fit": _DOES_NOT_FIT}
_WORST_FIRST = (_DOES_NOT_FIT, _TIGHT, 0)


class MemorySize(click.ParamType):
    """An amount of memory with its unit, such as `48GiB`; as bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; a usage error where it is no positive size."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*([kmgt]?i?b?)", str(value).strip().lower())
        if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a size such as 48GiB", param, ctx)
        return int(float(match[1]) * _UNITS[match[2]])


@click.command("fit")
@recipe_options
@click.option(
    "machines",
    "--machine",
    multiple=True,
    default=("here",),
    metavar="MACHINE",
    help="Profile, GPU name, TOML file or `here`; repeat to compare.  [default: here]",
)
@click.option("--gpu-memory", type=MemorySize(), metavar="SIZE", help="Memory of the device, instead of the profile's.")
@click.option("--no-cache", is_flag=True, help="Trace the step again, and keep no trace.")
@output_options
def command(
    machines: tuple[str, ...], gpu_memory: int | None, no_cache: bool, format_: str, output: Path | None, **params: Any
) -> None:
    """Predict whether RECIPE fits a machine, and how fast it runs there.

    RECIPE is a name from `sslbench recipes`, a recipe TOML, or file.py:function. Nothing is run and no GPU is needed.

    Exit code: 0 it fits, 1 it does not fit, 3 it is tight (or spills); with several machines the worst of them.
    """
    recipe = resolve_recipe(params["recipe"], changes_from(params))
    found = [find_machine(name, memory_bytes=gpu_memory) for name in machines]
    cache = TraceCache(None if no_cache else cache_folder())
    records = fit(recipe, found, cache=cache, command=["sslbench", *sys.argv[1:]])
    emit(records, format_=format_, output=output)
    click.get_current_context().exit(exit_code(records))


def exit_code(records: list[Record]) -> int:
    """The worst verdict's exit code."""
    codes = {_EXIT_CODES[record.verdict] for record in records if record.verdict is not None}
    return next(code for code in _WORST_FIRST if code in codes or code == 0)
