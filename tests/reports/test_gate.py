import json
from xml.etree import ElementTree

import jsonschema
import pytest

from sslbench.bench.commands.gate_options import FORMAT_NAMES
from sslbench.bench.comparison import Cause, Comparison, MetricChange, StepChange
from sslbench.reports.gate import FORMATS
from sslbench.reports.gate_view import gate_view

HOSTILE = "<script>alert(1)</script> | `x` \x1b[31m\u202e ::error::%0A \n]]>"
CAUSE = Cause(text="logits.float() now lives through backward", change=312.0 * 2**20, file="src/model.py", line=88)


def metric(outcome, name="time.step_seconds", **values):
    return MetricChange(**{"name": name, "unit": "seconds", "base": 0.02, "new": 0.022, "outcome": outcome, **values})


@pytest.fixture
def comparison():
    slower = metric("regression", allowed=0.001, interval=(0.06, 0.14), p_value=0.0005)
    larger = metric(
        "regression",
        "memory.peak_allocated_bytes",
        unit="bytes",
        base=2.0**30,
        new=2.0**30 + 312 * 2**20,
        causes=(CAUSE,),
    )
    unsure = metric("inconclusive", "memory.required_bytes", unit="bytes", base=100.0, new=110.0, reason="noise")
    steps = (
        StepChange(name="my_step:build", where="cuda", layer="exact", metrics=(slower, larger)),
        StepChange(
            name="other:build", where="torch-cpu", layer="timed", metrics=(unsure, metric("pass", "work.flops"))
        ),
        StepChange(name="third:build", where="torch-cpu", layer="timed", refused=("torch 2.12.0, now 2.13.0",)),
    )
    return Comparison(base="main (1234567)", new="working tree", steps=steps)


@pytest.fixture
def hostile():
    bad = metric("regression", causes=(Cause(text=HOSTILE, change=1.0, file="a,b:c.py", line=3),), reason=HOSTILE)
    steps = (
        StepChange(name=HOSTILE, where=HOSTILE, layer="timed", metrics=(bad,), notes=(HOSTILE,)),
        StepChange(name=HOSTILE, where="", layer="timed", refused=(HOSTILE,)),
    )
    return Comparison(base=HOSTILE, new=HOSTILE, steps=steps, notes=(HOSTILE,))


def test_text_says_what_changed_by_how_much_and_where(comparison):
    text = FORMATS["text"](comparison)
    assert "+10.0 %" in text
    assert "95 % interval +6.0 % to +14.0 %, p < 0.001, allowed +5.0 %" in text
    assert "+312 MiB: logits.float() now lives through backward" in text
    assert "not compared: torch 2.12.0, now 2.13.0" in text
    assert text.endswith(
        "1 regression, 1 not compared, 1 inconclusive of 3 steps: working tree against main (1234567)\n"
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_what_others_wrote_stays_text_in_every_output(hostile, kind):
    text = FORMATS[kind](hostile)
    assert "\x1b" not in text
    assert "\u202e" not in text or kind == "json"  # JSON holds the comparison as it is
    if kind in ("html", "markdown"):
        assert "<script>alert" not in text


def test_annotations_are_one_command_a_line_at_the_cause(comparison, hostile):
    lines = FORMATS["github"](comparison).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::warning", "::notice"]
    assert "file=src/model.py,line=88," in lines[1]
    commands = FORMATS["github"](hostile).splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in commands)
    assert "file=a%2Cb%3Ac.py,line=3" in commands[0]


def test_junit_counts_what_it_holds(comparison):
    root = ElementTree.fromstring(FORMATS["junit"](comparison))  # noqa: S314 - our own text
    assert root.tag == "testsuites"
    cases = root.findall("testsuite/testcase")
    counts = {name: len(root.findall(f"testsuite/testcase/{name}")) for name in ("failure", "error", "skipped")}
    assert counts == {"failure": 2, "error": 1, "skipped": 1}
    assert root.attrib == {"name": "sslbench", "tests": str(len(cases)), "failures": "2", "errors": "1", "skipped": "1"}
    for suite in root:
        assert suite.attrib["tests"] == str(len(suite.findall("testcase")))


def test_junit_of_hostile_names_is_xml(hostile):
    ElementTree.fromstring(FORMATS["junit"](hostile))  # noqa: S314 - our own text


# The parts of https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json that are used.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {"driver": {"required": ["name"]}},
                    },
                    "properties": {"type": "object"},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {
                                "message": {"type": "object", "required": ["text"]},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "locations": {
                                    "items": {
                                        "properties": {
                                            "physicalLocation": {
                                                "properties": {
                                                    "artifactLocation": {"required": ["uri"]},
                                                    "region": {"properties": {"startLine": {"minimum": 1}}},
                                                }
                                            }
                                        }
                                    }
                                },
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_sarif_has_what_its_schema_requires(comparison, hostile):
    for one in (comparison, hostile):
        table = json.loads(FORMATS["sarif"](one))
        jsonschema.validate(table, SARIF)
        rules = {rule["id"] for rule in table["runs"][0]["tool"]["driver"]["rules"]}
        assert {result["ruleId"] for result in table["runs"][0]["results"]} == rules


def test_sarif_results_stand_at_their_line(comparison):
    results = json.loads(FORMATS["sarif"](comparison))["runs"][0]["results"]
    (placed,) = [result for result in results if "locations" in result]
    place = placed["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("src/model.py", 88)


def test_series_have_the_new_values_in_their_services_forms(comparison):
    entries = json.loads(FORMATS["benchmark-action"](comparison))
    assert all({"name", "unit", "value"} <= entry.keys() for entry in entries)
    assert entries[0]["value"] == 0.022
    bencher = json.loads(FORMATS["bencher"](comparison))
    measure = bencher["my_step:build on cuda"]["time.step_seconds"]
    assert measure == {"value": 0.022, "lower_value": pytest.approx(0.0212), "upper_value": pytest.approx(0.0228)}


def test_json_is_read_back(comparison):
    table = json.loads(FORMATS["json"](comparison))
    assert (table["outcome"], table["exit_code"]) == ("regression", 1)
    assert Comparison.model_validate(table) == comparison


def test_the_command_line_knows_every_output_and_no_other():
    assert tuple(FORMATS) == FORMAT_NAMES


def test_of_many_steps_those_that_passed_are_folded(comparison):
    passed = StepChange(name="fine:build", where="cuda", layer="exact", metrics=(metric("pass"),))
    assert not any(step.folded for step in gate_view(comparison).steps)
    many = gate_view(comparison.model_copy(update={"steps": (*comparison.steps, passed)}))
    assert [step.folded for step in many.steps] == [False, False, False, True]
