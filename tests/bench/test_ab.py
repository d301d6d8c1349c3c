import os
from pathlib import Path

import pytest

from sslbench.bench.ab import Plan, checked_out, measure_revisions
from sslbench.bench.errors import GitError, RecipeError
from sslbench.bench.gate.timed import compare_records
from sslbench.bench.git import commit_of, git, has_changes

STEP = """
import torch
from work.amount import PRODUCTS

def build(device):
    weight = torch.randn(96, 96, device=device) / 96**0.5

    def step():
        x = weight
        for _ in range(PRODUCTS):
            x = torch.tanh(x @ weight)
        return x

    return step
"""


def commit(folder, products):
    (folder / "src" / "work" / "amount.py").write_text(f"PRODUCTS = {products}\n")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", f"{products}")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two commits of a project: the step, and a package in src that makes it twice as long. The files: 3 times."""
    folder = tmp_path / "project"
    (folder / "src" / "work").mkdir(parents=True)
    (folder / "steps").mkdir()
    (folder / "src" / "work" / "__init__.py").write_text("")
    (folder / "steps" / "my_step.py").write_text(STEP)
    git(tmp_path, "init", "--quiet", str(folder))
    commit(folder, 40)
    commit(folder, 80)
    (folder / "src" / "work" / "amount.py").write_text("PRODUCTS = 120\n")
    monkeypatch.chdir(folder)
    return folder


def plan(*revisions, argument="steps/my_step.py:build", **options):
    return Plan(argument=argument, revisions=revisions, changes={}, backend="torch-cpu", **options)


def measured(*revisions, launches=2):
    return measure_revisions(plan(*revisions, seconds=6.0, launches=launches), lambda *_: None)


def test_a_revision_is_checked_out_and_gone_afterwards(repository):
    before = git(repository, "status", "--porcelain")
    with checked_out(repository, "HEAD~1") as folder:
        assert (folder / "src/work/amount.py").read_text() == "PRODUCTS = 40\n"
        assert commit_of(folder) == git(repository, "rev-parse", "HEAD~1")
        assert has_changes(folder) is False
    assert not folder.exists()
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "status", "--porcelain") == before


def test_it_is_gone_after_an_error_too(repository):
    with pytest.raises(ZeroDivisionError), checked_out(repository, "HEAD") as folder:
        raise ZeroDivisionError
    assert not folder.exists()
    assert git(repository, "worktree", "list").count("\n") == 0


def test_a_hook_of_the_users_does_not_run(repository):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch " + str(repository / "hooked") + "\n")
    hook.chmod(0o755)
    with checked_out(repository, "HEAD"):
        pass
    assert not (repository / "hooked").exists()


@pytest.mark.parametrize("revision", ["nope", "--help", "HEAD~99", ""])
def test_an_unknown_revision_is_named(repository, revision):
    with pytest.raises(GitError, match="knows no revision"), checked_out(repository, revision):
        pass


@pytest.mark.parametrize(
    ("argument", "error", "words"),
    [
        ("bert-mini-mlm", RecipeError, "the same in every revision"),
        ("nowhere.py:build", RecipeError, "no such file"),
        ("steps/new.py:build", RecipeError, "is not in revision HEAD"),
    ],
)
def test_what_is_no_file_of_the_revisions_is_said(repository, argument, error, words):
    (repository / "steps" / "new.py").write_text(STEP)
    with pytest.raises(error, match=words):
        measure_revisions(plan("HEAD", ".", argument=argument), lambda *_: None)


def test_a_file_outside_any_repository_is_said(tmp_path):
    (tmp_path / "my_step.py").write_text(STEP)
    with pytest.raises(GitError, match="no git repository"):
        measure_revisions(plan("HEAD", ".", argument=f"{tmp_path}/my_step.py:build"), lambda *_: None)


@pytest.mark.slow
def test_each_side_runs_its_own_modules_and_the_slower_one_is_found(repository, monkeypatch):
    """The package lies on PYTHONPATH as the files are, as an editable install would have it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path("src").resolve()), os.environ.get("PYTHONPATH", "")]))
    names, (base, new) = measured("HEAD~1", "HEAD")
    for revision, side in (("HEAD~1", base), ("HEAD", new)):
        assert {record.environment.commit for record in side} == {git(repository, "rev-parse", revision)}
        assert {record.environment.threads for record in side} == {1}
        assert [record.memory.peak_allocated_bytes is not None for record in side] == [True, False]
    assert [record.turns.run for record in base] == [record.turns.run for record in new]
    assert len({record.turns.run for record in base}) == 2
    assert names[0].startswith("HEAD~1 (")
    found = compare_records(base, new, names=(names[0], names[1]), limits={})
    metric = found.steps[0].metrics[0]
    assert metric.share == pytest.approx(1.0, abs=0.35)
    assert {metric.name for metric in found.steps[0].metrics} >= {"time.step_seconds", "memory.peak_allocated_bytes"}


@pytest.mark.slow
def test_the_working_tree_is_a_side(repository):
    names, (base, new) = measured("HEAD", ".", launches=1)
    assert names[1].startswith("working tree (")
    assert names[1].endswith("with changes)")
    assert new[0].environment.uncommitted
    found = compare_records(base, new, names=(names[0], names[1]), limits={})
    assert found.steps[0].metrics[0].share == pytest.approx(0.5, abs=0.25)
    assert found.exit_code == 1


@pytest.mark.slow
def test_a_step_that_fails_ends_the_session(repository):
    (repository / "src" / "work" / "amount.py").write_text("PRODUCTS = None\n")
    names, (base, new) = measured("HEAD", ".")
    assert [len(base), len(new)] == [1, 1]
    found = compare_records(base, new, names=(names[0], names[1]), limits={})
    assert found.exit_code == 2
    (reason,) = found.steps[0].refused
    assert reason.startswith("new: the step did not run: ")
    assert "TypeError" in reason
