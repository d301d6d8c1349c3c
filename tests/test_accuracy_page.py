"""docs/accuracy.md states what bench/published/stated*.csv state: run this file to write its table again.

`sslbench validate` compares what it finds with the same files; CI runs it.
"""

import re
from pathlib import Path

from sslbench.bench.accuracy import Accuracy, Verdicts
from sslbench.bench.published.rows import published_rows, stated_accuracy, stated_verdicts
from sslbench.reports.accuracy import accuracy_markdown

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
BLOCK = re.compile(r"(<!-- accuracy -->\n).*?(<!-- /accuracy -->)", re.DOTALL)


def stated():
    errors = [
        Accuracy(group=group, metric=metric, **{**row, "rows": int(row["rows"])})
        for (group, metric), row in stated_accuracy().items()
    ]
    decided = [
        Verdicts(group, sum(row.group == group for row in published_rows()), row["tight"], row["wrong"])
        for group, row in stated_verdicts().items()
    ]
    return accuracy_markdown(errors, decided, ())


def page():
    return BLOCK.sub(lambda match: f"{match[1]}\n{stated()}{match[2]}", PAGE.read_text("utf-8"))


def test_the_page_states_what_validate_compares_with():
    assert page() == PAGE.read_text("utf-8"), "python tests/test_accuracy_page.py writes the table again"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
