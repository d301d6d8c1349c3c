"""README and docs/commands.md show what the commands print: run this file to write the blocks again, the tests compare.

A block is generated where a comment `<!-- $ sslbench ... -->` stands before it.
"""

import os
import re
import tempfile
from contextlib import chdir
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sslbench.bench.cli import COMMANDS, cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
COMMANDS_PAGE = ROOT / "docs" / "commands.md"
GENERATED = (README, COMMANDS_PAGE)
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"<!-- \$ sslbench (?P<arguments>.*?) -->\n```text\n(?P<text>.*?)```\n", re.DOTALL)
STEP = re.compile(r"```python\n(# my_step\.py\n.*?)```", re.DOTALL)
WIDTH = 80


def block(arguments):
    """The comment and what the command prints, as it stands on the page."""
    os.environ["COLUMNS"] = str(WIDTH)
    result = CliRunner().invoke(cli, arguments.split(), terminal_width=WIDTH, prog_name="sslbench")
    assert result.exit_code in (0, 1, 3), result.output
    lines = [f"$ sslbench {arguments}", *(line.rstrip() for line in result.stdout.splitlines())]
    return f"<!-- $ sslbench {arguments} -->\n```text\n" + "\n".join(lines) + "\n```\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the step of docs/recipes.md."""
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.chdir(tmp_path)
    write_step(tmp_path)


def write_step(folder):
    (match,) = STEP.findall((ROOT / "docs" / "recipes.md").read_text("utf-8"))
    (folder / "my_step.py").write_text(match, encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "arguments"),
    [(page, match["arguments"]) for page in GENERATED for match in BLOCK.finditer(page.read_text("utf-8"))],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
@pytest.mark.usefixtures("folder")
def test_a_page_shows_what_is_printed(page, arguments):
    assert block(arguments) in page.read_text("utf-8"), "python tests/test_docs.py writes the blocks again"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_stands_on_the_page(name):
    command = cli.get_command(click.Context(cli), name)
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert f"<!-- $ sslbench {name} --help -->" in COMMANDS_PAGE.read_text("utf-8")


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "index.md"], ids=lambda page: page.name)
def test_every_page_is_on_the_map(page):
    # Pages of objectives are on the page about recipes, which is on the map.
    map_ = page.parent / "index.md" if page.parent.name == "docs" else page.parents[1] / "recipes.md"
    assert f"({page.relative_to(map_.parent)})" in map_.read_text("utf-8")


def update():
    """Write the blocks again."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_step(Path(folder))
        for page in GENERATED:
            text = BLOCK.sub(lambda match: block(match["arguments"]), page.read_text("utf-8"))
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update()
