"""The records of a sweep on disk: a whole file after every record, and what of it need not be measured again."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import RecordError
from sslbench.bench.files import write_atomically
from sslbench.bench.measure.largest_batch import OUT_OF_MEMORY
from sslbench.bench.measure.plan import AUTO, Configuration
from sslbench.bench.record import Record, dump_records, load_records
from sslbench.bench.resolve import SIZES

_SAME = ("--devices", "--strategy", "--memory-limit", "--images", "--text", "--tokenizer", "--workers")
"""Options that make another measurement, and stand in the record's command alone where it failed."""


class RecordFile:
    """A file that holds the records of a sweep, in the order of its configurations; others keep their place before.

    A name that ends in `.jsonl` gets one record a line, any other what `dump` makes of all records: JSON, or a page.
    """

    def __init__(
        self, path: Path, kept: Sequence[Record] = (), *, dump: Callable[[Sequence[Record]], str] = dump_records
    ) -> None:
        self.path = path
        self._dump = dump
        self._kept = list(kept)
        self._new: dict[int, Record] = {}

    def __len__(self) -> int:
        return len(self._kept) + len(self._new)

    def add(self, number: int, record: Record) -> None:
        """Put the record of a configuration to the others, and write them all.

        Raises:
            OutputError: the file cannot be written; it is then as it was before.
        """
        together = {**self._new, number: record}
        write_atomically(self.path, self._text(together))
        self._new = together

    def put(self, number: int, record: Record) -> None:
        """As `add`, for a record that is in the file."""
        self._new[number] = record

    def _text(self, new: Mapping[int, Record]) -> str:
        records = [*self._kept, *(new[number] for number in sorted(new))]
        if self.path.suffix != ".jsonl":
            return self._dump(records)
        return "".join(json.dumps(json.loads(dump_records([record])), ensure_ascii=False) + "\n" for record in records)


def resume(path: Path, plan: Sequence[Configuration]) -> tuple[RecordFile, dict[int, Record]]:
    """What a file has of a plan: the file to go on with, and the records that need no new measurement, by number.

    A failure other than out of memory is measured again, and its record replaced. Records of nothing in the plan stay.

    Raises:
        RecordError: the file is not one that a sweep on this machine wrote.
    """
    if not path.exists():
        return RecordFile(path), {}
    records = load_records(path)
    _check(records, path)
    found: dict[int, Record] = {}
    kept = []
    for record in records:
        numbers = [number for number, one in enumerate(plan) if is_of(record, one)]
        found |= dict.fromkeys(numbers, record)
        if not numbers:
            kept.append(record)
    file = RecordFile(path, kept)
    for number, record in found.items():
        file.put(number, record)  # a failure, too, until it is replaced
    return file, {number: record for number, record in found.items() if _is_final(record)}


def _is_final(record: Record) -> bool:
    return record.failure is None or record.failure.kind == OUT_OF_MEMORY


def _check(records: Sequence[Record], path: Path) -> None:
    here = describe_environment()
    for number, record in enumerate(records, 1):
        if record.kind != "measurement":
            raise RecordError(f"{path}: record {number} is a prediction: --resume goes on with what `profile` wrote")
        there = record.environment
        if (there.processor, there.logical_cores) != (here.processor, here.logical_cores):
            raise RecordError(
                f"{path}: record {number} was measured on another machine ({there.processor}, {there.logical_cores} "
                "logical cores): name another file"
            )


def is_of(record: Record, configuration: Configuration) -> bool:
    """Whether the record is a measurement of the configuration, on whatever budget."""
    command = configuration.command
    auto = (_value(record.command, "--batch-size") == AUTO) == configuration.auto_batch
    return (
        auto
        and record.backend == configuration.backend
        and all(_value(record.command, option) == _value(command, option) for option in _SAME)
        and _values(record.command, "--onnx") == _values(command, "--onnx")
        and _same_recipe(record, configuration)
    )


def _same_recipe(record: Record, configuration: Configuration) -> bool:
    """Sizes that the user left to a factory stand in its record as they were; an automatic batch is the record's."""
    asked, ran = configuration.recipe, record.recipe
    left = [size for size in SIZES if getattr(asked, size) is None and not _names(record.command, size)]
    if configuration.auto_batch:
        left.append("batch_size")
    return asked.model_copy(update={size: getattr(ran, size) for size in left}) == ran


def _names(command: Sequence[str], size: str) -> bool:
    option = f"--{size.replace('_', '-')}"
    return any(word == option or word.startswith(f"{size}=") for word in command)


def _values(command: Sequence[str], option: str) -> set[str]:
    return {value for word, value in pairwise(command) if word == option}


def _value(command: Sequence[str], option: str) -> str | None:
    return command[command.index(option) + 1] if option in command[:-1] else None
