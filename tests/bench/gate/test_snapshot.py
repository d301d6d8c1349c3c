"""The snapshot's file, and its numbers against the trace's own."""

import json
import os
import platform

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecipeError, SnapshotError
from sslbench.bench.gate import snapshot as snapshot_module
from sslbench.bench.gate.snapshot import Snapshot, dump_snapshot, is_snapshot, load_snapshot
from sslbench.bench.gate.take import Asked, find_target, take_snapshot
from sslbench.bench.trace.cache import TraceCache


def taken(*names, recipe="my_step.py:build", **changes):
    return take_snapshot([Asked(recipe, changes, find_target(name)) for name in names or ("cuda",)], TraceCache(None))


def test_rows_add_up_to_the_totals(project):
    (step,) = taken().steps
    stored = [row for site in step.sites for row in site.storages]
    called = [row for site in step.sites for row in site.calls]
    assert sum(row.peak_bytes for row in stored) == step.memory.peak_requested_bytes
    assert sum(row.flops for row in called) == step.work.flops
    assert sum(row.bytes_moved for row in called) == step.work.bytes_moved
    assert sum(row.launches for row in called) == step.work.kernel_launches
    assert sum(row.count for row in called) == step.work.operators
    assert all(row.count >= row.peak_count and row.bytes >= row.peak_bytes for row in stored)


def test_numbers_are_those_of_arithmetic(project):
    (step,) = taken(batch_size=512, options={"width": 128}).steps
    elements = 3 * (128 * 128 + 128)
    assert step.work.parameters == elements
    assert step.work.flops == 512 * 128 * 128 * 2 * (3 * 3 - 1)  # no gradient for the input
    parameters = [row for site in step.sites for row in site.storages if row.category == "parameter"]
    assert sum(row.peak_bytes for row in parameters) == 4 * elements
    assert step.memory.peak_allocated_bytes >= step.memory.peak_requested_bytes
    assert step.memory.peak_reserved_bytes % (2 << 20) == 0


def test_lines_are_quoted_and_lie_in_the_project(project):
    (step,) = taken().steps
    lines = {site.line: site.text for site in step.sites}
    assert lines["my_step.py:24"] == "left = hidden.exp()"
    assert all(line.startswith("my_step.py:") for line in lines if line)


def test_what_a_steps_end_frees_counts_to_its_update(project):
    (step,) = taken().steps
    ends = {site.text: {row.dies for row in site.storages if row.born == "forward"} for site in step.sites}
    assert ends["left = hidden.exp()"] == {"optimizer"}  # a local of the step


def test_a_file_is_read_back_as_it_was(project):
    first = taken("cuda", "cpu")
    (project / "a.json").write_text(dump_snapshot(first), encoding="utf-8")
    assert is_snapshot(project / "a.json")
    assert load_snapshot(project / "a.json") == first
    assert dump_snapshot(taken("cuda", "cpu")) == dump_snapshot(first)
    assert json.loads(dump_snapshot(first))["schema"] == "sslbench.snapshot/1"


def test_nothing_in_the_file_says_where_it_was_made(project):
    text = dump_snapshot(taken("cuda", "cpu"))
    assert str(project) not in text
    assert platform.node() not in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_the_layout_is_json(value):
    assert json.loads(snapshot_module._pretty(value, "")) == value


def test_versions_are_those_of_the_libraries_that_steps_go_through(project):
    versions = taken().versions
    assert set(versions) == {"python", "sslbench", "torch"}
    assert versions["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize(
    ("name", "device", "capability", "threads"),
    [
        ("cuda", "cuda", (8, 0), None),
        ("cuda:9.0", "cuda", (9, 0), None),
        ("cpu", "cpu", None, 8),
        ("cpu:2", "cpu", None, 2),
        ("h200", "cuda", (9, 0), None),
    ],
)
def test_targets(name, device, capability, threads):
    target = find_target(name)
    assert (target.name, target.device, target.capability, target.threads) == (name, device, capability, threads)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "sslbench.record/1"}', '{"schema": "sslbench.snapshot/1"}']
)
def test_what_is_no_snapshot_is_one_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SnapshotError) as caught:
        load_snapshot(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_newer_snapshot_asks_for_an_upgrade(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"schema": "sslbench.snapshot/2"}', encoding="utf-8")
    assert is_snapshot(path)
    with pytest.raises(SnapshotError, match="upgrade sslbench"):
        load_snapshot(path)


def test_a_step_outside_the_working_folder_is_refused(project):
    os.chdir(project.parent)
    inside = taken(recipe="project/my_step.py:build")
    assert any(site.line == "project/my_step.py:24" for site in inside.steps[0].sites)
    assert taken(recipe=str(project.parent / "project" / "my_step.py") + ":build") == inside
    (project / "sub").mkdir()
    os.chdir(project / "sub")
    with pytest.raises(SnapshotError, match="lies outside the working folder"):
        taken(recipe="../my_step.py:build")


def test_a_missing_step_is_named(project):
    with pytest.raises(RecipeError, match="no such file"):
        taken(recipe="none.py:build")


@pytest.mark.slow
def test_a_snapshot_of_bert_base_is_small(project):
    snapshot = taken(recipe="bert-base-mlm")
    text = dump_snapshot(snapshot)
    assert len(text) < 100_000
    assert set(snapshot.versions) == {"python", "sslbench", "torch", "transformers"}
    assert Snapshot.model_validate_json(text) == snapshot
