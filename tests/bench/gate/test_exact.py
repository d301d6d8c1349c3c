"""Changes of a step's code, found and attributed to their lines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sslbench.bench.comparison import Limit
from sslbench.bench.errors import SnapshotError
from sslbench.bench.gate.exact import compare_snapshots
from sslbench.bench.gate.snapshot import load_snapshot, write_snapshot
from sslbench.bench.gate.take import Asked, find_target, take_snapshot
from sslbench.bench.trace.cache import TraceCache

MIB = 2**20
NOISE = "        noise = torch.ones(262144, device=device).mean()\n"


def snapshot(*targets, recipe="my_step.py:build", **changes):
    steps = [Asked(recipe, changes, find_target(name)) for name in targets or ("cuda",)]
    return take_snapshot(steps, TraceCache(None))


@pytest.fixture
def baseline(project):
    write_snapshot(project / "baseline.json", snapshot())
    return project / "baseline.json"


def only_step(comparison):
    (step,) = comparison.steps
    return step, {metric.name.rpartition(".")[2]: metric for metric in step.metrics}


def assert_causes_add_up(metrics):
    for metric in metrics.values():
        if metric.name != "work.parameters":
            assert sum(cause.change for cause in metric.causes) == metric.change, metric.name


def test_the_same_code_passes_without_any_change(baseline, project):
    comparison = compare_snapshots(baseline, project)
    _, metrics = only_step(comparison)
    assert (comparison.outcome, comparison.exit_code) == ("pass", 0)
    assert [metric.change for metric in metrics.values()] == [0] * 8
    assert not any(metric.causes for metric in metrics.values())


@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_one_mebibyte_that_is_kept_is_found_at_its_line(project, edited, target):
    write_snapshot(project / "baseline.json", snapshot(target))
    kept = "        ones = torch.ones(262144, device=device)\n        noise = ones.mean()\n"
    comparison = compare_snapshots(project / "baseline.json", edited(NOISE, f"        # why\n{kept}"))
    _, metrics = only_step(comparison)
    memory = metrics["peak_requested_bytes"]
    assert memory.change == MIB
    (cause,) = memory.causes
    assert (cause.file, cause.line, cause.change, cause.operator) == ("my_step.py", 24, MIB, "aten.ones.default")
    assert "now lives through backward" in cause.text
    assert "`ones = torch.ones(262144, device=device)` at my_step.py:24" in cause.text
    assert memory.outcome == "regression"
    assert comparison.exit_code == 1
    assert_causes_add_up(metrics)


@pytest.mark.parametrize("target", ["cuda", "cpu"])
@pytest.mark.parametrize(
    "before",
    [
        "        return self.out(x)\n",
        "    optimizer = ",
        "        optimizer.zero_grad()\n",
        "        loss.backward()\n",
        "        optimizer.step()\n",
        "\n    return step\n",
    ],
)
def test_a_mebibyte_is_found_wherever_it_is_added(project, edited, target, before):
    write_snapshot(project / "baseline.json", snapshot(target))
    owner, device = ("self", "x.device") if "self" in before else ("head", "device")
    indentation = " " * (4 if "optimizer = " in before else 8)
    added = f"{indentation}{owner}.spare = torch.ones(262144, device={device})\n"
    comparison = compare_snapshots(project / "baseline.json", edited(before, added + before))
    _, metrics = only_step(comparison)
    (cause,) = metrics["peak_requested_bytes"].causes
    assert cause.change == metrics["peak_requested_bytes"].change == MIB
    code = (project / "my_step.py").read_text(encoding="utf-8")
    assert cause.line == code[: code.index(before)].count("\n") + 1
    assert ".spare = torch.ones" in cause.text
    assert metrics["peak_requested_bytes"].outcome == "regression"


def test_a_changed_order_of_operators_passes(baseline, edited):
    swapped = "        right = hidden.tanh()\n        left = hidden.exp()\n"
    folder = edited("        left = hidden.exp()\n        right = hidden.tanh()\n", swapped)
    comparison = compare_snapshots(baseline, folder)
    _, metrics = only_step(comparison)
    assert comparison.exit_code == 0
    assert all(metric.change == 0 for name, metric in metrics.items() if "reserved" not in name)


def test_lines_that_only_move_are_no_change(baseline, edited):
    comparison = compare_snapshots(baseline, edited("import torch\n", "import torch\n\n# moved\n"))
    _, metrics = only_step(comparison)
    assert all(metric.change == 0 and not metric.causes for metric in metrics.values())


def test_a_wider_type_is_told_where_it_comes_from_and_where_it_goes(baseline, edited):
    comparison = compare_snapshots(baseline, edited("hidden.exp()", "hidden.double().exp()"))
    step, metrics = only_step(comparison)
    assert_causes_add_up(metrics)
    memory = {cause.text: cause.change for cause in metrics["peak_requested_bytes"].causes}
    line = "`left = hidden.double().exp()` at my_step.py:24 is 2 times as large (exp)"
    assert memory[f"{line}; before: `left = hidden.exp()`"] == 1024 * 256 * 4
    assert any(text.startswith("`loss = (left * right).sum() * noise` at my_step.py:26") for text in memory)
    assert step.outcome == "regression"


def test_a_wider_layer_changes_parameters_gradients_and_flops_in_its_module(baseline, edited):
    wider = "self.out = nn.Sequential(nn.Linear(width, 2 * width), nn.Linear(2 * width, width))"
    comparison = compare_snapshots(baseline, edited("self.out = nn.Linear(width, width)", wider))
    _, metrics = only_step(comparison)
    assert_causes_add_up(metrics)
    old, new = 256 * 256 + 256, 2 * 256 * 256 * 2 + 2 * 256 + 256
    assert metrics["parameters"].change == new - old
    assert metrics["parameters"].outcome == "pass"  # told, not judged
    assert {cause.module for cause in metrics["flops"].causes} == {"Head.out.*"}
    assert metrics["flops"].change == 3 * 2 * 1024 * (2 * 256 * 512 - 256 * 256)  # forward, and two in backward
    states = [cause for cause in metrics["peak_requested_bytes"].causes if "(parameter)" in cause.text]
    assert sum(cause.change for cause in states) == 4 * (new - old)


def test_fewer_bytes_are_an_improvement(project, edited):
    folder = edited("hidden.exp()", "hidden.double().exp()")
    write_snapshot(project / "new.json", snapshot())
    os.chdir(folder)
    write_snapshot(folder / "old.json", snapshot())
    comparison = compare_snapshots(folder / "old.json", project / "new.json")
    assert (comparison.outcome, comparison.exit_code) == ("improvement", 0)


def test_limits_of_the_user_replace_the_defaults(baseline, edited):
    folder = edited("hidden.exp()", "hidden.double().exp()")
    loose = dict.fromkeys(("memory", "flops", "bytes", "launches"), Limit(share=10.0))
    assert compare_snapshots(baseline, folder, loose).exit_code == 0
    assert compare_snapshots(baseline, folder, {**loose, "memory": Limit(amount=0)}).exit_code == 1


def test_another_batch_says_so(baseline, edited):
    comparison = compare_snapshots(baseline, edited("batch_size=1024", "batch_size=2048"))
    step, metrics = only_step(comparison)
    assert step.notes == ("the recipe's batch_size: 1024, now 2048",)
    assert metrics["flops"].share == 1.0
    assert_causes_add_up(metrics)


def test_other_versions_are_refused_unless_allowed(baseline, project):
    table = json.loads(baseline.read_text(encoding="utf-8"))
    table["versions"]["torch"] = "2.0.1"
    baseline.write_text(json.dumps(table), encoding="utf-8")
    comparison = compare_snapshots(baseline, project)
    step, metrics = only_step(comparison)
    assert metrics == {}
    assert step.refused[0].startswith("torch 2.0.1, now ")
    assert "--allow versions" in step.refused[0]
    assert comparison.exit_code == 2
    assert compare_snapshots(baseline, project, allow=["versions"]).exit_code == 0


def test_a_step_that_does_not_run_any_more_is_no_regression(baseline, edited):
    comparison = compare_snapshots(baseline, edited("head(body(x))", "head(body(y))"))
    step, _ = only_step(comparison)
    assert step.refused[0].endswith("my_step.py:22: NameError: name 'y' is not defined")
    assert comparison.exit_code == 2


def test_steps_are_matched_by_recipe_and_target(project):
    write_snapshot(project / "one.json", snapshot("cuda", "cpu"))
    write_snapshot(project / "two.json", snapshot("cpu", "cpu:2"))
    comparison = compare_snapshots(project / "one.json", project / "two.json")
    assert [(step.where, step.refused) for step in comparison.steps] == [
        ("cuda", ("it is not in the new snapshot",)),
        ("cpu", ()),
    ]
    assert comparison.exit_code == 2
    assert "my_step.py:build on cpu:2" in comparison.notes[0]


def test_a_missing_baseline_is_one_line(project):
    with pytest.raises(SnapshotError, match=r"^none\.json: No such file or directory$"):
        compare_snapshots(Path("none.json"), project)


@pytest.mark.slow
def test_another_process_with_another_hash_seed_and_core_count_writes_the_same_bytes(project):
    texts = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "sslbench.bench", "snapshot", "my_step.py:build", "bert-mini-mlm"]
        command = [sys.executable, "-c", "from sslbench.bench.cli import main; main()", *command[3:]]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed}
        target = ["--machine", "cuda", "--machine", "cpu", "--no-cache", "-o", "out.json"]
        subprocess.run([*command, *target], cwd=project, env=environment, check=True, capture_output=True)
        texts.append((project / "out.json").read_bytes())
    assert texts[0] == texts[1]
    assert len(load_snapshot(project / "out.json").steps) == 4
