from pathlib import Path

import pytest

from sslbench.bench.errors import OutputError
from sslbench.bench.files import whole_file, write_atomically


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "record.json"
    for text in ("old", "new, ü"):
        write_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text("ne")
        1 / 0  # noqa: B018 - it fails here
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_with_the_file(tmp_path):
    path = tmp_path / "record.json"
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match=r"record\.json: cannot be written: No space left"), whole_file(path):
        full.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named_with_the_file(tmp_path):
    with pytest.raises(OutputError, match=r"missing/record\.json: cannot be written: No such file"):
        write_atomically(tmp_path / "missing" / "record.json", "")
