import json

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.record import load_records

SMALL = ("bert-mini-mlm", "--batch-size", "4", "--seq-len", "32")
CARDS = ("--machine", "rtx-3090", "--machine", "rtx-4090", "--machine", "a100-80gb")
RUN = ("--steps", "1M")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _folder(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def choose(*arguments):
    return CliRunner().invoke(cli, ["choose", *SMALL, *arguments])


def ranked(*arguments):
    return [record["machine"]["name"] for record in json.loads(choose(*arguments, "--format", "json").output)]


def test_the_best_comes_first():
    records = json.loads(choose(*CARDS, *RUN, "--format", "json").output)
    rents = [record["bill"]["rent_usd"] for record in records]
    assert rents == sorted(rents)
    seconds = json.loads(choose(*CARDS, *RUN, "--by", "speed", "--format", "json").output)
    assert [record["time"]["step_seconds"] for record in seconds] == sorted(
        record["time"]["step_seconds"] for record in records
    )
    assert len(ranked(*CARDS, "--by", "energy")) == 3


def test_a_table_of_80_columns_with_the_best_by_each_measure():
    done = choose(*CARDS, *RUN)
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
    for line in ("budget: 1,000,000 steps", "Cheapest: ", "Fastest: ", "Least energy: ", "break-even"):
        assert line in done.output


def test_several_devices_as_far_as_links_are_known():
    records = json.loads(choose(*CARDS, "--machine", "m3-max", "--devices", "4", *RUN, "--format", "json").output)
    counts = {(record["machine"]["name"], record["machine"]["device_count"]) for record in records}
    assert {("rtx-4090", 1), ("rtx-4090", 2), ("rtx-4090", 4), ("m3-max", 1)} <= counts
    assert ("m3-max", 2) not in counts
    plans = [record["plan"] for record in records if record["machine"]["device_count"] == 4]
    assert {plan["devices"] for plan in plans} == {4}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--within", "1s"), 1, "too slow"),
        (("--budget-usd", "0.01"), 1, "too dear"),
        (("--within", "900d", "--budget-usd", "90000"), 0, "fits"),
    ],
)
def test_what_is_over_a_limit_says_so(arguments, code, said):
    done = choose(*CARDS, *RUN, *arguments)
    assert done.exit_code == code
    assert said in done.output


def test_a_card_that_is_too_small_comes_last():
    arguments = ("--machine", "t4", "--machine", "b200", *RUN, "--batch-size", "200", "--seq-len", "512")
    done = choose(*arguments, "--format", "json")
    assert done.exit_code == 0
    assert [record["verdict"] for record in json.loads(done.output)] == ["fits", "does-not-fit"]


def test_the_records_can_be_kept_and_markdown_is_a_table(tmp_path):
    assert choose(*CARDS, *RUN, "-o", "r.json").exit_code == 0
    assert len(load_records(tmp_path / "r.json")) == 3
    assert "| rtx\\-4090 |" in choose(*CARDS, *RUN, "--format", "markdown").output.replace("rtx-4090", "rtx\\-4090")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--within", "3d"), "give --epochs with --samples"),
        (("--within", "3"), "not a time such as"),
        (("--price", "2", *RUN), "name it with --machine"),
        (("--machine", "nonesuch"), "no machine is named"),
        (("--steps", "5", "--epochs", "3", "--samples", "5"), "in one way"),
        (("--devices", "0"), "range"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, problem):
    done = choose(*arguments)
    assert done.exit_code == 2
    assert problem in done.output
