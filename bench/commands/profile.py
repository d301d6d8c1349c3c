"""`sslbench profile`: measure a recipe's step on this machine."""

from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.options import arguments_of, changes_from, output_options, recipe_options
from sslbench.bench.commands.output import emit
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.files import check_writable
from sslbench.bench.measure.backends import MEASURED, default_backend
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.record import Backend
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.data.source import Source

_WORKERS = 2


@click.command()
@recipe_options
@click.option("--backend", type=click.Choice(MEASURED), help="Where it runs.  [default: what is here]")
@click.option("--steps", type=int, metavar="N", help="Timed steps.  [default: until --tolerance is met]")
@click.option("--warmup", type=int, metavar="N", help="Steps before the timed ones.  [default: until they are steady]")
@click.option("--max-seconds", type=float, default=60.0, show_default=True, help="Begin no step after this long.")
@click.option("--timeout", type=float, default=900.0, show_default=True, help="Kill the worker after this long.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Measure the step on images of this folder, too.",
)
@click.option(
    "--text",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE|DIR",
    help="Measure the step on this text, or on a folder's .txt files, too.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A tokenizer.json for --text.  [default: one trained on it]",
)
@click.option("--workers", type=int, metavar="N", help="Processes that load --images or --text.  [default: 2]")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    recipe: str,
    backend: Backend | None,
    steps: int | None,
    warmup: int | None,
    max_seconds: float,
    timeout: float,
    images: Path | None,
    text: Path | None,
    tokenizer: Path | None,
    workers: int | None,
    format_: str,
    output: Path | None,
    **changes: Any,
) -> None:
    """Measure time, memory and energy of RECIPE's step on this machine.

    RECIPE is a name of `sslbench recipes`, a recipe TOML, or file.py:function.

    Its input is synthetic. With --images or --text the loader by itself and the step that it feeds are measured
    besides, and the answer says which of the two is the limit.
    """
    if output is not None:
        check_writable(output)
    source = _source(images, text, tokenizer, workers)
    chosen = resolve_recipe(recipe, changes_from(changes))
    arguments = arguments_of(ctx)
    if backend is None:
        backend = default_backend()
        arguments += ["--backend", backend]
    with step_progress(f"{chosen.name} on {backend}") as progress:
        record = measure(
            chosen,
            backend=backend,
            budget=Budget(steps=steps, warmup=warmup, max_seconds=max_seconds, timeout=timeout),
            source=source,
            command=arguments,
            progress=progress,
        )
    emit([record], format_=format_, output=output)


def _source(images: Path | None, text: Path | None, tokenizer: Path | None, workers: int | None) -> Source | None:
    """The files that feed the step, if any are given."""
    if images is not None and text is not None:
        raise click.UsageError("--images and --text: a step takes one of them")
    if tokenizer is not None and text is None:
        raise click.UsageError("--tokenizer goes with --text")
    path = images or text
    if path is None:
        if workers is not None:
            raise click.UsageError("--workers goes with --images or --text")
        return None
    return Source(
        kind="images" if images else "text",
        path=str(path),
        workers=_WORKERS if workers is None else workers,
        tokenizer=str(tokenizer or ""),
    )
