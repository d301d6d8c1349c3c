import json
import subprocess
import sys

import pytest

from sslbench.kernels.hub import cached_config, downloaded_config, is_hub_id
from sslbench.kernels.model_tables import config_file, model_table
from sslbench.kernels.models import model_config

CONFIG = {"model_type": "bert", "hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub; makes the config.json of a model there, as a download would."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def make(model):
        commit = "0" * 40
        folder = tmp_path / f"models--{model.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(commit)
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps(CONFIG))
        return snapshot / "config.json"

    return make


@pytest.mark.parametrize("model", ["gpt2-of-mine", "somebody/bert-of-theirs"])
def test_a_model_in_the_cache_is_taken_from_there(cache, model):
    path = cache(model)
    assert cached_config(model) == path
    assert config_file(model) == path
    assert model_config(model).hidden_size == 64


def test_a_name_without_an_owner_never_asks_the_hub(cache):
    with pytest.raises(ValueError, match=r"no model 'bert-bse': .*did you mean bert-base\?"):
        model_table("bert-bse")


def test_offline_a_model_that_is_not_in_the_cache_says_so(cache):
    with pytest.raises(ValueError, match=r"model 'somebody/new': .*HF_HUB_OFFLINE forbids a download") as raised:
        model_table("somebody/new")
    assert "\n" not in str(raised.value)


def test_without_a_connection_it_says_so(cache, monkeypatch):
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nothing listens there
    with pytest.raises(ValueError, match=r"there is no connection to http://127.0.0.1:9: .+"):
        downloaded_config("somebody/new")


@pytest.mark.parametrize("name", ["gpt2", "facebook/dinov2-base", "a.b/c_d-e"])
def test_names_of_the_hub(name):
    assert is_hub_id(name)


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "./x", "a b", "timm:resnet50", "x" * 97, "a--b", "/x", "é"])
def test_names_that_the_hub_does_not_have(cache, name):
    assert not is_hub_id(name)
    assert cached_config(name) is None


def test_the_hub_is_not_imported_for_a_model_of_the_catalog():
    code = (
        "import sys; from sslbench.kernels.model_tables import model_table; model_table('bert-base');"
        "sys.exit('huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
