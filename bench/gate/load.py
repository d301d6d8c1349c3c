"""Records of one side of a comparison: from a file, or from a folder of files."""

from pathlib import Path

from sslbench.bench.errors import RecordError
from sslbench.bench.record import Record, load_records

SUFFIXES = (".json", ".jsonl")


def record_files(path: Path) -> list[Path]:
    """The file itself, or every .json and .jsonl file in the folder and below it, in the order of their names.

    Raises:
        RecordError: there is no such file, or none in the folder.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise RecordError(f"{path}: holds no .json or .jsonl file: `sslbench profile RECIPE -o FILE` writes one")
    return files


def measurements_of(path: Path) -> list[Record]:
    """The measured records of a file or folder.

    Raises:
        RecordError: a file is none, or no record is measured.
    """
    records = [record for file in record_files(path) for record in load_records(file)]
    measured = [record for record in records if record.kind == "measurement"]
    if not measured:
        raise RecordError(f"{path}: holds predictions only: `sslbench profile RECIPE -o FILE` measures")
    return measured
