"""Records, or a probed machine, as one HTML file: no script but its own runs, nothing is fetched, texts are escaped."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2

from sslbench.bench.comparison import Comparison
from sslbench.bench.environment import package_version
from sslbench.bench.history import History
from sslbench.bench.record import Record
from sslbench.hardware_profiles.schema import Machine
from sslbench.reports.assets import script, script_source, style
from sslbench.reports.embedded import embed
from sslbench.reports.probe import probe_view
from sslbench.reports.probe_charts import probe_charts
from sslbench.reports.report_view import build_report
from sslbench.reports.view import verdict_line


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sslbench.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` writes <, >, & and ' as \u escapes and, as ASCII, U+2028 too: no text can end the script element.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["verdict_line"] = verdict_line
    environment.globals |= {"style": style, "script": script, "script_source": script_source}
    environment.globals["version"] = package_version("sslbench") or "unknown"
    return environment


def render_html(
    records: Sequence[Record],
    *,
    comparisons: Sequence[Comparison] = (),
    histories: Sequence[History] = (),
    title: str | None = None,
) -> str:
    """The report of some records, comparisons and histories as HTML5.

    The elements `#records`, `#comparisons` and `#histories` hold these themselves as JSON, so that every number can be
    checked; of a long history what is drawn.

    Args:
        records: predictions and measurements, in any order.
        comparisons: of the regression gate.
        histories: of measured records over time.
        title: heading of the report; by default the titles of its recipes.
    """
    drawn = [history.thinned() for history in histories]
    return render_template(
        "report.html.j2",
        report=build_report(records, comparisons=comparisons, histories=drawn, title=title),
        records=embed(records),
        comparisons=[comparison.model_dump(mode="json") for comparison in comparisons],
        histories=[history.model_dump(mode="json") for history in drawn],
    )


def render_probe(machine: Machine) -> str:
    """The page of a probed machine as HTML5; the element `#machine` holds its profile as JSON."""
    return render_template(
        "probe.html.j2",
        probe=probe_view(machine),
        charts=probe_charts(machine),
        machine=machine.model_dump(mode="json", exclude_defaults=True),
    )


def render_template(name: str, **values: Any) -> str:
    """A page from the template of that name; every value is escaped."""
    return _environment().get_template(name).render(**values)
