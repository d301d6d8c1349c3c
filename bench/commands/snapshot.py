"""`sslbench snapshot`: what traced steps cost, as a baseline for `sslbench compare`."""

from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.options import changes_from, recipes_options
from sslbench.bench.files import check_writable
from sslbench.bench.gate.snapshot import StepSnapshot, write_snapshot
from sslbench.bench.gate.take import Asked, find_target, take_snapshot
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.reports.units import format_bytes, format_si


@click.command("snapshot")
@recipes_options
@click.option(
    "targets",
    "--machine",
    multiple=True,
    default=("cuda",),
    show_default=True,
    metavar="MACHINE",
    help="cuda, cuda:9.0 (compute capability), cpu, cpu:16 (threads), or a machine, whose kind of device is meant; "
    "repeat for more.",
)
@click.option("--graph-breaks", "graph", is_flag=True, help="Count torch.compile's graph breaks, too.")
@click.option("--onnx", is_flag=True, help="Count the nodes of the exported inference step, too.")
@click.option("--no-cache", is_flag=True, help="Trace again, and keep nothing.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="baseline.json",
    show_default=True,
    metavar="FILE",
    help="Where the snapshot goes.",
)
def command(
    *,
    recipes: tuple[str, ...],
    targets: tuple[str, ...],
    graph: bool,
    onnx: bool,
    no_cache: bool,
    output: Path,
    **params: Any,
) -> None:
    """Store what each RECIPE's step costs and where, as a baseline for `sslbench compare`.

    RECIPE is a name from `sslbench recipes`, a recipe TOML, or file.py:function in the working folder. The step is
    traced: nothing is run and no GPU is needed. The same code with the same versions gives the same file on every host:
    commit it, and let CI run `sslbench compare FILE --against .`
    """
    check_writable(output)
    changes = changes_from(params)
    found = [find_target(name) for name in dict.fromkeys(targets)]
    cache = TraceCache(None if no_cache else cache_folder())
    steps = [
        Asked(recipe, changes, target, graph=graph, onnx=onnx) for recipe in dict.fromkeys(recipes) for target in found
    ]
    snapshot = take_snapshot(steps, cache)
    write_snapshot(output, snapshot)
    for step in snapshot.steps:
        click.echo(_line(step))
    click.echo(f"snapshot: {output}", err=True)


def _line(step: StepSnapshot) -> str:
    memory, work = step.memory, step.work
    peak, moved = format_bytes(memory.peak_requested_bytes), format_bytes(work.bytes_moved)
    costs = f"{format_si(work.flops, 'FLOP')}, {moved} moved, {work.kernel_launches:,} kernel launches"
    return f"{step.title} on {step.target.name}: {peak} at the peak, in {memory.phase}; {costs}"
