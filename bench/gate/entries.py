"""What a history needs of records, read fast: thousands in less than a second. Imports no torch."""

import io
import statistics
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from sslbench.bench.errors import RecordError
from sslbench.bench.gate.load import SUFFIXES, record_files
from sslbench.bench.git import git_bytes
from sslbench.bench.quantities import Part
from sslbench.bench.record import load_records


class _Environment(Part):
    processor: str
    threads: int | None = None
    commit: str | None = None
    uncommitted: bool | None = None


class _Machine(Part):
    title: str


class _Recipe(Part):
    name: str
    stage: str = "train"
    batch_size: int | None = None
    seq_len: int | None = None
    image_size: int | None = None
    precision: str = "fp32"
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)


class _Memory(Part):
    required_bytes: float | None = None
    peak_allocated_bytes: float | None = None


class _Time(Part):
    step_seconds: float | None = None


class _Energy(Part):
    joules_per_step: float | None = None


class _Turns(Part):
    session: str = ""


class Entry(Part):
    """What a history needs of a record; the rest, thousands of timed steps, is skipped without being built."""

    schema_: str = Field(alias="schema")
    kind: str
    created: AwareDatetime
    backend: str
    recipe: _Recipe
    machine: _Machine
    environment: _Environment
    memory: _Memory = _Memory()
    time: _Time = _Time()
    energy: _Energy = _Energy()
    turns: _Turns | None = None


_ENTRY, _ENTRIES = TypeAdapter(Entry), TypeAdapter(list[Entry])


def load_entries(folder: Path) -> list[Entry]:
    """Entries of all measured records of a folder (or of one file), oldest first; one for each side of an `ab`.

    Raises:
        RecordError: a file is none, or no record is measured.
    """
    texts = ((file, _bytes(file)) for file in record_files(folder))
    return _measured((entry for file, text in texts for entry in _entries(file, text)), str(folder))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}") from error


def load_branch(repository: Path, branch: str, folder: str) -> list[Entry]:
    """The same of the files that a git branch holds below a folder.

    Raises:
        GitError: there is no such branch or folder.
        RecordError: as `load_entries`.
    """
    archive = git_bytes(repository, "archive", "--format=tar", "--end-of-options", branch, folder)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [member for member in tar if member.isfile() and member.name.endswith(SUFFIXES)]
        texts = [(Path(f"{branch}:{member.name}"), _content(tar, member)) for member in members]
    return _measured((entry for file, text in texts for entry in _entries(file, text)), f"{branch}:{folder}")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _measured(entries: Iterator[Entry], where: str) -> list[Entry]:
    found = sorted((entry for entry in entries if entry.kind == "measurement"), key=lambda entry: entry.created)
    if not found:
        raise RecordError(f"{where}: holds no measured record: `sslbench profile RECIPE -o FILE` writes one")
    return [_middle(launches) for launches in _sides_of_sessions(found)]


def _sides_of_sessions(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The launches of one side of an `ab` together: they are more alike than neighbours of a history are."""
    groups: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for number, entry in enumerate(entries):
        session = entry.turns.session if entry.turns else ""
        code = (entry.environment.commit, entry.environment.uncommitted)
        groups[(session, *code) if session else (number,)].append(entry)
    return list(groups.values())


def _middle(launches: Sequence[Entry]) -> Entry:
    """The first, with the medians of all."""
    first = launches[0]
    if len(launches) == 1:
        return first
    parts = ("memory", "time", "energy")
    return first.model_copy(update={part: _medians([getattr(entry, part) for entry in launches]) for part in parts})


def _medians(parts: Sequence[Part]) -> Part:
    """Of every field, over those that have it."""
    known = {
        name: [value for part in parts if (value := getattr(part, name)) is not None]
        for name in type(parts[0]).model_fields
    }
    return parts[0].model_copy(update={name: statistics.median(values) for name, values in known.items() if values})


def _entries(file: Path, text: bytes) -> list[Entry]:
    """Fast where the file is right; what is wrong with it `load_records` says."""
    try:
        if file.suffix == ".jsonl":
            return [_ENTRY.validate_json(line) for line in text.splitlines() if line.strip()]
        return _ENTRIES.validate_json(text) if text.lstrip()[:1] == b"[" else [_ENTRY.validate_json(text)]
    except ValidationError:
        return [_ENTRY.validate_json(record.model_dump_json()) for record in load_records(file)]
