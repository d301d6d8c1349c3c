"""Two git revisions of a step, measured in one session: their workers take turns. Imports no torch.

What slows the machine down for a while meets both alike, and what others take of the processor is known of a single
thread (`sslbench.bench.measure.waited`): that is what makes a shared CI machine usable. A process is as fast as its
memory happens to lie, for its whole life, which no number of turns averages out: so there are several launches.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslbench.bench.errors import GitError, RecipeError
from sslbench.bench.gate.ratio import ratio_of_launches
from sslbench.bench.git import commit_of, git, has_changes
from sslbench.bench.measure.budget import WARMUP_SHARE, Budget
from sslbench.bench.measure.configured import Settings
from sslbench.bench.measure.interleaved import measure_interleaved
from sslbench.bench.measure.manager import Progress
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.quantities import Backend
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe

WORKING_TREE = "."
"""Names the files as they are, in place of a revision."""
SECONDS, TOLERANCE = 60.0, 0.02
"""Default budget: of timed steps, both sides together, all launches; and the half width of the 95 % interval of a
launch's ratio that ends the launch before its share of the budget is spent."""
LAUNCHES = 6
"""Even, so that each side is as often the first. Of fewer, Student's t makes one odd launch hide a change of 5 %."""
_TURN_SECONDS = 0.05  # the shorter, the more alike is the machine to both; a step that is not timed goes with each
_FEWEST_ROUNDS = 16
_GROWTH = 1.25  # of the rounds, from one look at the interval to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is compared, and for how long."""

    argument: str
    """`file.py:function`, or a recipe TOML, of a git repository."""
    revisions: tuple[str, str]
    changes: Mapping[str, Any]
    """Fields of the recipe that the user set, for `resolve_recipe`."""
    backend: Backend
    threads: int = 1
    seconds: float = SECONDS
    """Of timed steps, both sides together, all launches."""
    tolerance: float = TOLERANCE
    """Half the width of the 95 % interval of a launch's ratio at which the launch ends before that."""
    launches: int = LAUNCHES
    """How often each side's worker is started anew."""
    timeout: float = 900.0
    command: tuple[str, ...] = ()


Sides = tuple[list[Record], list[Record]]
"""Records of both sides, one a launch."""


def measure_revisions(plan: Plan, progress: Progress) -> tuple[list[str], Sides]:
    """Measure the step of both revisions, in turns, in several launches.

    Returns:
        What the two sides are called, and their records; the last may tell of a step that did not run.

    Raises:
        GitError: a revision is unknown, or the file lies in no repository.
        RecipeError: RECIPE is no file of the repository, or is not in a revision.
        MeasureError: the step cannot be run here at all.
    """
    file, repository = _located(plan.argument)
    with ExitStack() as stack:
        folders = [stack.enter_context(checked_out(repository, revision)) for revision in plan.revisions]
        names = [_side_name(revision, folder) for revision, folder in zip(plan.revisions, folders, strict=True)]
        group = [
            (number, _configuration(plan, folder, file.relative_to(repository), plan.revisions[number]))
            for number, folder in enumerate(folders)
        ]
        return names, _launched(plan, group, progress)


def _launched(plan: Plan, group: Sequence[tuple[int, Configuration]], progress: Progress) -> Sides:
    """Each launch begins with the other side: it starts first, and takes the first turn."""
    sides: Sides = [], []
    session = secrets.token_hex(8)
    for launch in range(plan.launches):

        def told(phase: str, done: int, total: int | None, number: int = launch + 1) -> None:
            progress(f"launch {number} of {plan.launches}, {phase}", done, total)

        settings = Settings(budget=_budget(plan), predict=False, details=launch == 0)
        order = group if launch % 2 == 0 else group[::-1]
        for number, found in measure_interleaved(order, settings, told, lambda _: None, _Enough(plan.tolerance)):
            if not isinstance(found, Record):
                raise found
            sides[number].append(_of_session(found, session))
        if any(side[-1].failure for side in sides):
            break
    return sides


@contextmanager
def checked_out(repository: Path, revision: str) -> Iterator[Path]:
    """A folder with the files of a revision, gone afterwards; the repository's own for `.`.

    Raises:
        GitError: there is no such revision, or it cannot be checked out.
    """
    if revision == WORKING_TREE:
        yield repository
        return
    try:
        commit = git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except GitError as error:
        raise GitError(
            f"{repository}: git knows no revision {revision!r}: name a commit, branch or tag, or . for the files as "
            "they are; in CI, fetch it first (actions/checkout with fetch-depth: 0)"
        ) from error
    with tempfile.TemporaryDirectory(prefix="sslbench-ab-") as parent:
        folder = Path(parent) / repository.name
        try:
            # A hook of the user's may do anything; the index of a worktree is its own.
            git(repository, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", str(folder), commit)
            yield folder
        finally:
            _forget(repository, folder)


def _forget(repository: Path, folder: Path) -> None:
    if folder.exists():
        git(repository, "worktree", "remove", "--force", str(folder))


def _located(argument: str) -> tuple[Path, Path]:
    """The recipe's file and the root of its repository."""
    name = argument.rpartition(":")[0] if ".py:" in argument else argument
    file = Path(name)
    if not file.is_file():
        raise RecipeError(
            f"{argument}: no such file: RECIPE is file.py:function or a recipe TOML of a git repository. A recipe of "
            "the catalog is part of sslbench, and the same in every revision of yours"
        )
    try:
        root = git(file.resolve().parent, "rev-parse", "--show-toplevel")
    except GitError as error:
        raise GitError(f"{file}: lies in no git repository") from error
    return file.resolve(), Path(root).resolve()


def _side_name(revision: str, folder: Path) -> str:
    commit = (commit_of(folder) or "no commit")[:9]
    if revision == WORKING_TREE:
        return f"working tree ({commit}{' with changes' if has_changes(folder) else ''})"
    return f"{revision} ({commit})" if not commit.startswith(revision[:9]) else commit


def _configuration(plan: Plan, folder: Path, file: Path, revision: str) -> Configuration:
    there = folder / file
    if not there.is_file():
        raise RecipeError(
            f"{file}: is not in revision {revision}: name revisions that have it, or . for the files here"
        )
    function = plan.argument.rpartition(":")[2] if ".py:" in plan.argument else ""
    return Configuration(
        recipe=resolve_recipe(f"{there}:{function}" if function else str(there), dict(plan.changes)),
        backend=plan.backend,
        command=plan.command,
        environment=_environment(folder, plan.threads),
    )


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """The revision's own modules come before what is installed, such as an editable install of the working tree."""
    paths = [str(path) for path in (folder, folder / "src") if path.is_dir()]
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([*paths, *([given] if given else [])])
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def _budget(plan: Plan) -> Budget:
    """Short turns; with several threads, and on a GPU, they are as long as usual: threads need time to fall asleep."""
    turn = _TURN_SECONDS if plan.backend == "torch-cpu" and plan.threads == 1 else None
    seconds = plan.seconds / 2 / plan.launches / (1 - WARMUP_SHARE)
    return Budget(max_seconds=seconds, tolerance=plan.tolerance, turn_seconds=turn, timeout=plan.timeout)


class _Enough:
    """Whether a launch's ratio is known well enough. Looks at few of the moments: many would find what is not there."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._next_look = _FEWEST_ROUNDS

    def __call__(self, medians: Sequence[Sequence[float]]) -> bool:
        rounds = min(len(side) for side in medians)
        if rounds < self._next_look:
            return False
        self._next_look = int(rounds * _GROWTH) + 1
        interval = ratio_of_launches(*([side[:rounds]] for side in medians)).interval
        return interval is not None and (interval[1] - interval[0]) / 2 <= self._tolerance


def _of_session(record: Record, session: str) -> Record:
    """Without doubts of the median's precision: the tolerance was the ratio's."""
    kept = [warning for warning in record.warnings if "interval of the median" not in warning]
    turns = record.turns and record.turns.model_copy(update={"session": session})
    return record.model_copy(update={"warnings": kept, "turns": turns})
