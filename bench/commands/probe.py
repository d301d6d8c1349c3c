"""`sslbench probe`: measure this machine, and keep what was found for `--machine here`."""

from pathlib import Path

import click

from sslbench.bench.commands.options import answer_format
from sslbench.bench.commands.output import print_json
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.errors import OutputError
from sslbench.bench.files import check_writable, write_atomically
from sslbench.bench.measure.backends import torch_has
from sslbench.bench.probe.again import faster_of
from sslbench.hardware_profiles.kept import kept_path
from sslbench.hardware_profiles.loader import load_profile
from sslbench.hardware_profiles.names import canonical
from sslbench.hardware_profiles.processor import usable_cores
from sslbench.hardware_profiles.schema import Machine
from sslbench.hardware_profiles.writer import dump_machine
from sslbench.reports.html import render_probe
from sslbench.reports.probe_text import print_probe, probe_markdown


@click.command("probe")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="By default the NVIDIA card where torch has one.")
@click.option("--quick", is_flag=True, help="A quarter of the time, with more noise.")
@click.option("--again", is_flag=True, help="Keep the faster of the earlier profile and of this probe, size by size.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Write the profile there, its plots beside it; by default both are kept for `--machine here`.",
)
@answer_format
def command(device: str | None, quick: bool, again: bool, output: Path | None, format_: str) -> None:
    """Measure this machine with micro-kernels, and keep its profile.

    Times matrix products, convolutions, attention, copies and launches in PyTorch for less than a minute, and writes a
    machine profile with what was measured beside what the datasheet promises. `--machine here` is then predicted from
    those figures.

    On a machine whose speed changes by the minute, as on a shared host, probe some times with minutes between, from the
    second time on with --again.
    """
    if output is not None:
        if output.suffix.lower() != ".toml":
            raise click.BadParameter(f"{output}: a profile's name ends in .toml", param_hint="--output")
        check_writable(output)
    from sslbench.bench.probe.probe import probe  # noqa: PLC0415 - imports torch

    with step_progress("probe") as progress:
        probed = probe(device or _default_device(), quick=quick, progress=progress)
    for line in probed.left_out:
        click.echo(f"sslbench: left out {line}", err=True)
    path = _path(probed.machine, output)
    machine = _with_earlier(path, probed.machine) if again else probed.machine
    _write(machine, path)
    page = path.with_suffix(".html")
    write_atomically(page, render_probe(machine))
    if format_ == "json":
        print_json(machine.model_dump(mode="json", exclude_defaults=True))
    elif format_ == "markdown":
        click.echo(probe_markdown(machine), nl=False)
    else:
        print_probe(machine)
    use = "--machine here uses it" if output is None else f"--machine {path} uses it"
    click.echo(f"profile: {path} ({use})\nplots:   {page}", err=True)


def _default_device() -> str:
    import torch  # noqa: PLC0415 - seconds, and not for --help

    return "cuda" if torch_has("cuda") and torch.cuda.is_available() else "cpu"


def _path(machine: Machine, output: Path | None) -> Path:
    """Where the profile goes: the user's file, or where the device's is kept."""
    assert machine.probe is not None  # noqa: S101 - a programming error, not a user's
    return output or kept_path(machine.probe.device, usable_cores())


def _with_earlier(path: Path, machine: Machine) -> Machine:
    if not path.exists():
        click.echo(f"sslbench: {path} is not there yet: this is the first probe", err=True)
        return machine
    return faster_of(load_profile(path), machine)


def _write(machine: Machine, path: Path) -> None:
    """Write the profile, named after its device; the folder is made."""
    assert machine.probe is not None  # noqa: S101 - a programming error, not a user's
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}: name a file with -o") from error
    write_atomically(
        path, dump_machine(machine.model_copy(update={"name": canonical(machine.probe.device) or "probed"}))
    )
