"""Time against cost, and several devices, as tables of Markdown."""

from collections.abc import Iterator

from sslbench.reports.front import Front
from sslbench.reports.gfm import escape, table
from sslbench.reports.scaling import ScalingPicture


def front_markdown(front: Front) -> str:
    """The machines of the front, from the fastest to the cheapest."""
    rows = (
        (each.name, each.run.time, each.run.time_interval, each.run.rent, each.run.rent_interval, each.verdict.word)
        for each in front.best
    )
    left_out = [f"Not shown: {escape(front.left_out)}."] if front.left_out else []
    return "\n\n".join(
        (
            f"### Time against cost: {escape(front.recipe.title)}, predicted",
            f"{escape(front.summary)}.",
            _table(("Machine", "Time of the run", "90 % interval", "Rent", "90 % interval", "Verdict"), rows),
            *left_out,
        )
    )


def scaling_markdown(picture: ScalingPicture) -> str:
    """Throughput and efficiency by machine and number of devices."""
    header = ("Machine", "Devices", "Basis", "Throughput", "Step time", "90 % interval", "Efficiency")
    rows = (
        (each.machine, each.devices, each.basis, each.throughput, each.step, each.interval, each.efficiency)
        for each in picture.rows
    )
    words = "\n".join(f"- {escape(text)}" for text in picture.words)
    return "\n\n".join((f"### Several devices: {escape(picture.recipe.title)}", words, _table(header, rows)))


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return table(header, (tuple(map(escape, row)) for row in rows))
