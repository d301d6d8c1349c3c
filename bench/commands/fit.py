"""`sslbench fit`: does a recipe fit a machine, and how fast does it run there."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sslbench.bench.commands.options import arguments_of, changes_from, memory_size, output_options, recipe_options
from sslbench.bench.commands.output import check_open, emit
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.commands.run_options import links_and_price, run_of, run_options, with_budget
from sslbench.bench.errors import RecipeError
from sslbench.bench.fit import fit
from sslbench.bench.machines import find_machine
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.bench.what_if import with_what_if

if TYPE_CHECKING:
    from sslbench.bench.predict.elsewhere import Elsewhere

_DOES_NOT_FIT, _TIGHT = 1, 3
_EXIT_CODES = {"fits": 0, "tight": _TIGHT, "spills": _TIGHT, "does-not-fit": _DOES_NOT_FIT}
_WORST_FIRST = (_DOES_NOT_FIT, _TIGHT, 0)


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
@click.option(
    "--backend",
    type=click.Choice(["torch", "onnx-cpu"]),
    default="torch",
    show_default=True,
    help="What runs the step: PyTorch, or ONNX Runtime on a CPU (inference).",
)
@click.option(
    "--gpu-memory", callback=memory_size, metavar="SIZE", help="Memory of the device, instead of the profile's."
)
@click.option("--cuda", metavar="VERSION", help="CUDA of the PyTorch there, where it is older than 11.7.")
@click.option("--display", is_flag=True, help="A desktop runs on that GPU.")
@click.option("--no-cache", is_flag=True, help="Trace or export the step again, and keep nothing.")
@click.option(
    "measured",
    "--measured",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RECORD",
    help="File of `profile`: this model, measured elsewhere, sharpens the time; repeatable.",
)
@click.option("--explain", "explained", is_flag=True, help="Say what the prediction rests on.")
@click.option("--what-if", is_flag=True, help="Also with other batches, precisions and activation checkpointing.")
@run_options
@output_options
def command(
    *,
    machines: tuple[str, ...],
    backend: str,
    gpu_memory: int | None,
    cuda: str | None,
    display: bool,
    no_cache: bool,
    measured: tuple[Path, ...],
    what_if: bool,
    format_: str,
    output: Path | None,
    open_: bool,
    **params: Any,
) -> None:
    """Predict whether RECIPE fits a machine, and how fast it runs there.

    RECIPE is a name from `sslbench recipes`, a recipe TOML, or file.py:function. Nothing is run and no GPU is needed.

    Exit code: 0 it fits, 1 it does not fit, 3 it is tight (or spills); with several machines the worst of them.
    """
    check_open(output, open_=open_)
    recipe = with_budget(resolve_recipe(params["recipe"], changes_from(params)), params)
    changes = {"memory_bytes": gpu_memory, "cuda": cuda, "display": display, **links_and_price(params)}
    found = [find_machine(name, **changes) for name in machines]
    arguments = arguments_of(click.get_current_context())
    if backend == "onnx-cpu" and (measured or what_if):
        what = "--measured sharpens steps" if measured else "--what-if is of steps"
        raise RecipeError(f"{what} of PyTorch: leave it or --backend onnx-cpu away")
    if backend == "onnx-cpu":
        from sslbench.bench.fit_onnx import fit_onnx  # noqa: PLC0415 - imports numpy, which a kept trace does not need

        records = fit_onnx(recipe, found, command=arguments, explained=params["explained"], keep=not no_cache)
    else:
        cache = TraceCache(None if no_cache else cache_folder())
        known = _elsewhere(measured, recipe, cache) if measured else None
        records = fit(
            recipe,
            found,
            cache=cache,
            command=arguments,
            explained=params["explained"],
            measured=known,
            run=run_of(params),
        )
        if what_if:
            with step_progress("what if") as show:
                records = with_what_if(records, cache=cache, run=run_of(params), measured=known, show=show)
    emit(records, format_=format_, output=output, open_=open_)
    click.get_current_context().exit(exit_code(records))


def _elsewhere(paths: tuple[Path, ...], recipe: Recipe, cache: TraceCache) -> "Elsewhere":
    """What was measured elsewhere; says on stderr which records are of no use."""
    from sslbench.bench.fit_measured import read_measured  # noqa: PLC0415 - imports numpy

    found, left = read_measured(paths, recipe, cache)
    for line in left:
        click.echo(f"sslbench: left out {line}", err=True)
    return found


def exit_code(records: list[Record]) -> int:
    """The worst verdict's exit code."""
    codes = {_EXIT_CODES[record.verdict] for record in records if record.verdict is not None}
    return next(code for code in _WORST_FIRST if code in codes or code == 0)
