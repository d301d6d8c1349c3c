"""A comparison for CI systems: GitHub annotations, JUnit XML and SARIF."""

import json
from typing import Any
from xml.etree import ElementTree

from sslbench.bench.comparison import Comparison, StepChange
from sslbench.reports.gate_words import (
    cause_line,
    findings,
    metric_line,
    metric_name,
    step_outcome,
    step_title,
    summary,
)
from sslbench.reports.words import plain

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ANNOTATIONS = {"regression": "error", "inconclusive": "warning", "refused": "warning"}
_LEVELS = {"regression": "error", "inconclusive": "warning", "refused": "warning"}
_LONGEST_TITLE = 120


def gate_github(comparison: Comparison) -> str:
    """Workflow commands, one a finding, that GitHub shows beside the code.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    lines = []
    for step, metric, message, file, line in findings(comparison):
        command = _ANNOTATIONS[metric.outcome if metric else "refused"]
        title = f"sslbench: {metric_name(metric) if metric else 'not compared'}, {step_title(step)}"[:_LONGEST_TITLE]
        place = {"file": file, "line": line, "title": title}
        known = ",".join(f"{key}={_property(str(value))}" for key, value in place.items() if value)
        lines.append(f"::{command} {known}::{_data(message)}")
    lines.append(f"::notice title=sslbench::{_data(summary(comparison))}")
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gate_junit(comparison: Comparison) -> str:
    """JUnit XML: a suite a step, a test case a metric.

    A regression is a failure; what is inconclusive was skipped; what could not be compared is an error.
    """
    root = ElementTree.Element("testsuites", name="sslbench")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for step in comparison.steps:
        counts = _suite(root, step)
        totals = {key: totals[key] + counts[key] for key in totals}
    root.attrib.update({key: str(count) for key, count in totals.items()})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, step: StepChange) -> dict[str, int]:
    title = step_title(step)
    suite = ElementTree.SubElement(root, "testsuite", name=title)
    for reason in step.refused:
        case = ElementTree.SubElement(suite, "testcase", classname=title, name="compared")
        ElementTree.SubElement(case, "error", message=plain(reason))
    for metric in step.metrics:
        case = ElementTree.SubElement(suite, "testcase", classname=title, name=metric.name)
        if metric.outcome == "regression":
            failure = ElementTree.SubElement(case, "failure", message=metric_line(metric))
            failure.text = "\n".join(cause_line(cause, metric) for cause in metric.causes)
        elif metric.outcome == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=metric_line(metric))
        else:
            ElementTree.SubElement(case, "system-out").text = metric_line(metric)
    counts = {
        "tests": len(list(suite)),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    suite.attrib.update({key: str(count) for key, count in counts.items()})
    return counts


def gate_sarif(comparison: Comparison) -> str:
    """SARIF 2.1.0, which code scanning reads: a result a finding, at its line where one is known.

    https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    results: list[dict[str, Any]] = []
    rules: dict[str, str] = {}
    for step, metric, message, file, line in findings(comparison):
        rule = metric.name if metric else "not-compared"
        rules[rule] = f"{metric_name(metric)} got worse" if metric else "The two sides may not be compared"
        result: dict[str, Any] = {
            "ruleId": rule,
            "level": _LEVELS[metric.outcome if metric else "refused"],
            "message": {"text": message},
            "partialFingerprints": {"sslbench/v1": f"{step.name}:{step.where}:{rule}:{file}"},
        }
        if file:
            region = {"region": {"startLine": line}} if line else {}
            result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": file}, **region}}]
        results.append(result)
    driver = {
        "name": "sslbench",
        "rules": [{"id": rule, "shortDescription": {"text": text}} for rule, text in rules.items()],
    }
    run = {
        "tool": {"driver": driver},
        "results": results,
        "properties": {"outcomes": {step_title(step): step_outcome(step) for step in comparison.steps}},
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"
