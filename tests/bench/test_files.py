from pathlib import Path

import pytest

from sslbench.bench.errors import OutputError
from sslbench.bench.files import whole_file, without_home, write_atomically


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


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/home/ann/a/step.py", "~/a/step.py"),
        ("/home/anna/step.py", "/home/anna/step.py"),
        ("/home/ann", "/home/ann"),
        ("step.py", "step.py"),
        ("--set", "--set"),
    ],
)
def test_what_is_shared_names_no_user(path, written, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert without_home(path) == written


def test_a_home_that_is_the_root_is_no_name(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert without_home("/etc/step.py") == "/etc/step.py"
