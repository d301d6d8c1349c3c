import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.commands.lists import CommaList, join_value, split_list


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\\ \t\n", exclude_categories=("Z", "C")), min_size=1), min_size=1
    )
)
def test_what_is_joined_is_split_again(values):
    assert split_list(",".join(map(join_value, values))) == values


def values_of(type_, text):
    @click.command()
    @click.option("--sizes", type=type_)
    def command(sizes):
        click.echo(repr(sizes))

    return CliRunner().invoke(command, ["--sizes", text])


@pytest.mark.parametrize(("text", "values"), [("8", (8,)), ("8, 16", (8, 16)), ("8,auto", (8, "auto"))])
def test_values_have_the_type_of_one(text, values):
    assert values_of(CommaList(int, ("auto",)), text).output == f"{values!r}\n"


@pytest.mark.parametrize(
    ("type_", "text", "problem"),
    [
        (CommaList(int), "8,auto", "'auto' is not a valid integer"),
        (CommaList(int), "8,,16", "a value is missing in '8,,16'"),
        (CommaList(click.Choice(["fp32", "bf16"])), "fp32,fp64", "'fp64' is not one of 'fp32', 'bf16'"),
    ],
)
def test_the_first_wrong_value_is_named(type_, text, problem):
    result = values_of(type_, text)
    assert result.exit_code == 2
    assert problem in result.output
