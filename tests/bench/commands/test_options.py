import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.commands.options import changes_from, output_options, parse_value, recipe_options


def changes(*arguments):
    seen = []

    @click.command()
    @recipe_options
    @output_options
    def command(**params):
        seen.append(changes_from(params))

    result = CliRunner().invoke(command, ["bert-base-mlm", *arguments])
    return result, seen[0] if seen else None


def test_nothing_set_changes_nothing():
    assert changes()[1] == {}


def test_what_was_set_and_nothing_else():
    options = ["--batch-size", "0", "--no-activation-checkpointing", "--set", "temperature=0.5", "--set", "queue=a=b"]
    assert changes(*options)[1] == {
        "batch_size": 0,
        "activation_checkpointing": False,
        "options": {"temperature": 0.5, "queue": "a=b"},
    }


@pytest.mark.parametrize("setting", ["temperature", "=3", "mask ratio=3"])
def test_a_setting_without_a_key_is_a_usage_error(setting):
    result, _ = changes("--set", setting)
    assert result.exit_code == 2
    assert "is not KEY=VALUE" in result.output


@given(st.one_of(st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_numbers_and_truth_values_come_back_as_they_were(value):
    parsed = parse_value(str(value))
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.text())
def test_every_text_has_a_value_that_json_can_hold(text):
    value = parse_value(text)
    assert isinstance(value, str) == (value == text)
    assert value not in (float("inf"), float("-inf"))
