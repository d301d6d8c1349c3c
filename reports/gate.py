"""All outputs of a comparison, by the name that `--format` and `--output` take."""

import json
from collections.abc import Callable

from sslbench.bench.comparison import Comparison
from sslbench.reports.gate_ci import gate_github, gate_junit, gate_sarif
from sslbench.reports.gate_series import gate_bencher, gate_benchmark_action
from sslbench.reports.gate_text import gate_markdown, gate_text
from sslbench.reports.html import render_html


def gate_html(comparison: Comparison) -> str:
    """The page of this comparison alone."""
    return render_html((), comparisons=(comparison,))


def gate_json(comparison: Comparison) -> str:
    """The comparison itself, with its outcomes."""
    table = comparison.model_dump(mode="json")
    for step, found in zip(table["steps"], comparison.steps, strict=True):
        step["outcome"] = found.outcome
    table |= {"outcome": comparison.outcome, "exit_code": comparison.exit_code}
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "text": gate_text,
    "markdown": gate_markdown,
    "html": gate_html,
    "json": gate_json,
    "github": gate_github,
    "junit": gate_junit,
    "sarif": gate_sarif,
    "benchmark-action": gate_benchmark_action,
    "bencher": gate_bencher,
}
