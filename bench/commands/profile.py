"""`sslbench profile`: measure a recipe's step on this machine."""

from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.options import arguments_of, changes_from, output_options, recipe_options
from sslbench.bench.commands.output import emit
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.files import check_writable
from sslbench.bench.measure.backends import MEASURED, default_backend
from sslbench.bench.measure.manager import measure
from sslbench.bench.record import Backend
from sslbench.bench.resolve import resolve_recipe


@click.command()
@recipe_options
@click.option("--backend", type=click.Choice(MEASURED), help="Where it runs.  [default: what is here]")
@click.option("--steps", type=int, default=20, show_default=True, help="Timed steps.")
@click.option("--warmup", type=int, default=3, show_default=True, help="Steps before the timed ones.")
@click.option("--max-seconds", type=float, default=60.0, show_default=True, help="Begin no step after this long.")
@click.option("--timeout", type=float, default=900.0, show_default=True, help="Kill the worker after this long.")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    recipe: str,
    backend: Backend | None,
    steps: int,
    warmup: int,
    max_seconds: float,
    timeout: float,
    format_: str,
    output: Path | None,
    **changes: Any,
) -> None:
    """Measure time, memory and energy of RECIPE's step on this machine.

    RECIPE is a name of `sslbench recipes`, a recipe TOML, or file.py:function.
    """
    if output is not None:
        check_writable(output)
    chosen = resolve_recipe(recipe, changes_from(changes))
    arguments = arguments_of(ctx)
    if backend is None:
        backend = default_backend()
        arguments += ["--backend", backend]
    with step_progress(f"{chosen.name} on {backend}") as progress:
        record = measure(
            chosen,
            backend=backend,
            steps=steps,
            warmup=warmup,
            max_seconds=max_seconds,
            timeout=timeout,
            command=arguments,
            progress=progress,
        )
    emit([record], format_=format_, output=output)
