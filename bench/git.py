"""What git says of a folder. No git, or no repository: nothing is known."""

import shutil
import subprocess
from pathlib import Path

from sslbench.bench.errors import GitError


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints, run in a folder, without the newline at its end.

    Raises:
        GitError: git is not installed, or ended with an error; the message is git's own last line.
    """
    return git_bytes(folder, *arguments).decode(errors="replace").strip()


def git_bytes(folder: Path, *arguments: str) -> bytes:
    """The same as it is.

    Raises:
        GitError: as `git`.
    """
    program = shutil.which("git")
    if program is None:
        raise GitError("git is not installed")
    done = subprocess.run([program, "-C", str(folder), *arguments], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"git {arguments[0]} failed"]
        raise GitError(f"{folder}: {lines[-1]}")
    return done.stdout


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out there; None outside a repository or before its first commit."""
    try:
        return git(folder, "rev-parse", "--verify", "HEAD")
    except GitError:
        return None


def has_changes(folder: Path) -> bool | None:
    """Whether files that git knows differ from the commit; None outside a repository."""
    try:
        return bool(git(folder, "status", "--porcelain", "--untracked-files=no"))
    except GitError:
        return None
