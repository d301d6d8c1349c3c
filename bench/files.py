"""Reading files that people write, with one clear line where they are wrong; writing so that nothing half stays."""

import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslbench.bench.errors import OutputError, RecipeError


def read_toml(path: Path) -> dict[str, Any]:
    """The table that a TOML file holds.

    Raises:
        RecipeError: it cannot be read, or is not TOML; names the file and the place.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: is not UTF-8 text") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: is not TOML: {error}") from error


def without_home(path: str) -> str:
    """A path with `~` in place of the user's home folder: what is shared names no user."""
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if path.startswith(home.rstrip(os.sep) + os.sep) and home != os.sep else path


def with_home(path: str) -> Path:
    """The file that `without_home` has written."""
    return Path.home() / path.removeprefix("~/") if path.startswith("~/") else Path(path)


def check_writable(path: Path) -> None:
    """Minutes of measuring are not lost to a misspelt folder.

    Raises:
        OutputError: the file's folder is missing or may not be written to.
    """
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: cannot be written: {path.parent} is no folder that you may write to")


def write_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        OutputError: the folder is missing, the disk is full, or writing is not allowed.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary neighbour to write to, which takes the file's place when all of it is there, else goes.

    Raises:
        OutputError: the folder is missing, the disk is full, writing is not allowed, or it is a pipe or a device.
    """
    if path.exists() and not path.is_file():  # root would replace /dev/null itself
        raise OutputError(f"{path}: is no file that could be replaced: name another")
    temporary = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
