"""The script of the page about masked language modelling fills in what a model learnt from this objective's steps."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from sslbench.kernels.objectives import mlm

PAGE = Path(__file__).parents[3] / "docs" / "objectives" / "mlm.md"
SENTENCES = [
    "The cat sat on the mat .",
    "The dog ran to the gate .",
    "A bird sang in the tree .",
    "My fish swam in a bowl .",
]


def make_tokenizer(folder):
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", *words, "[MASK]"])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.save_pretrained(folder)
    return fast


@pytest.fixture
def trained_folder(tmp_path, model_folder, trained):
    """A small BERT that has read four sentences two hundred times, as a folder with weights and a tokenizer."""
    tokenizer = make_tokenizer(tmp_path / "weights")
    tokens = torch.tensor(tokenizer(SENTENCES)["input_ids"])
    model = model_folder(
        {
            "model_type": "bert",
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }
    )
    training = trained(mlm, model=model, batch_size=len(SENTENCES), seq_len=tokens.shape[1])
    optimizer = torch.optim.Adam(training.network.parameters(), lr=3e-3)
    for _ in range(200):
        training.loss(tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
    training.network.save_pretrained(tmp_path / "weights")
    return tmp_path / "weights"


def test_the_pages_script_prints_the_top_tokens(trained_folder, tmp_path, monkeypatch, capsys):
    script = tmp_path / "fill_mask.py"
    script.write_text(PAGE.read_text().partition("```python\n")[2].partition("```")[0])
    monkeypatch.setattr(sys, "argv", [str(script), str(trained_folder), "The cat [MASK] on the mat ."])
    runpy.run_path(str(script))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].split()[1] == "sat"
