"""The figures that `sslbench recipes` lists are those of a trace: run this file to write them again.

python tests/bench/test_recipe_work.py
"""

import csv
import sys
from io import StringIO
from pathlib import Path

import pytest

from sslbench.bench.predict.prediction import work_of
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.kernels import catalog
from sslbench.kernels.catalog import recipe_tables, recipe_work

PATH = Path(catalog.__file__).with_name("recipes") / "work.csv"
FEW = ("bert-mini-mlm", "clm-stories15m", "mae-vit-ti-16", "simclr-resnet18", "lora-bert-mini", "wav2vec2-tiny")


def traced(name):
    """Parameters and FLOPs a sample of a recipe's step at its own batch, on an A100."""
    recipe = resolve_recipe(name, {})
    work = work_of(trace_recipe(recipe, "cuda", (8, 0)))
    return work.parameters, round(work.flops / recipe.batch_size)


def test_every_recipe_is_listed():
    assert list(recipe_work()) == list(recipe_tables())
    assert all(work.parameters > 0 and work.flops_per_sample > 0 for work in recipe_work().values())


@pytest.mark.parametrize("name", FEW)
def test_the_figures_are_those_of_a_trace(name):
    work = recipe_work()[name]
    assert (work.parameters, work.flops_per_sample) == traced(name), f"write them again: python {__file__}"


def write():
    """Trace every recipe, one after the other: minutes."""
    table = StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("name", "parameters", "flops_per_sample"))
    for name in recipe_tables():
        writer.writerow((name, *traced(name)))
        print(name, file=sys.stderr)  # noqa: T201 - this file is a script, too
    PATH.write_text(table.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    write()
