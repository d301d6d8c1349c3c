import subprocess
import sys

from sslbench.kernels.catalog import objective_names, recipe_tables, recipe_texts
from sslbench.kernels.model_tables import MODELS


def test_recipes_are_named_like_their_files():
    assert list(recipe_tables()) == sorted(recipe_tables())
    assert all(table["name"] == name for name, table in recipe_tables().items())
    assert set(recipe_texts()) == set(recipe_tables())
    assert {"bert-base-mlm", "bert-large-mlm", "bert-mini-mlm", "simclr-resnet50", "simclr-resnet18"} <= set(
        recipe_tables()
    )


def test_recipes_name_models_and_objectives_that_exist_and_their_paper():
    for table in recipe_tables().values():
        assert table["model"] in MODELS
        assert table["objective"] in objective_names()
        assert table["paper"].startswith("https://")


def test_objectives_are_the_modules_of_their_folder():
    assert {"mlm", "simclr"} <= set(objective_names())


def test_the_catalog_imports_no_torch():
    code = "import sys; from sslbench.kernels.catalog import recipe_tables as r; r(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
