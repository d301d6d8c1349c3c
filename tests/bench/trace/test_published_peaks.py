"""Traced peaks against torch.cuda.max_memory_allocated that others measured and published.

Source: Hugging Face's tables of attention back ends, made with a script that runs `zero_grad()` and
`logits.sum().backward()` on half-precision weights, without an optimizer step. In that set-up BERT's decoder has its own
copy of the word embeddings.
"""

import csv
from pathlib import Path

import pytest
import torch
from transformers.models.albert.modeling_albert import AlbertConfig, AlbertModel
from transformers.models.bert.modeling_bert import BertConfig, BertForMaskedLM

from sslbench.bench.trace.allocator import replay
from sslbench.bench.trace.tracer import trace_step

ROWS = list(
    csv.DictReader(
        (Path(__file__).parents[2] / "data" / "published_training_peaks.csv").read_text("utf-8").splitlines()
    )
)
ALBERT = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "embedding_size": 128}
MODELS = {
    "bert-base-uncased": lambda: BertForMaskedLM(BertConfig(tie_word_embeddings=False)),
    "albert-base-v1": lambda: AlbertModel(
        AlbertConfig(**ALBERT, vocab_size=30000, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    ),
}
CAPABILITIES = {"NVIDIA A100 80GB": (8, 0), "NVIDIA RTX 2060 (doc says 8GB)": (7, 5)}


def build(device, *, model, attention, batch_size, seq_len):
    torch.set_default_dtype(torch.float16)
    try:
        with device:
            network = MODELS[model]()
    finally:
        torch.set_default_dtype(torch.float32)
    network.set_attn_implementation(attention)
    network.train()
    ids = torch.zeros((batch_size, seq_len), dtype=torch.long, device=device)
    output = None

    def step():
        nonlocal output  # as in the script, the last output lives until the next one is there
        network.zero_grad()
        output = network(input_ids=ids)
        output[0].sum().backward()

    return step


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_peak_allocated_within_three_percent(row):
    sizes = {"batch_size": int(row["batch_size"]), "seq_len": int(row["seq_len"])}
    capability = CAPABILITIES[row["gpu"]]
    trace = trace_step(build, capability=capability, model=row["model"], attention=row["attention"], **sizes)
    allocator = replay([storage.size for storage in trace.storages], trace.events)
    assert allocator.peak_allocated_bytes == pytest.approx(float(row["peak_allocated_mb"]) * 1e6, rel=0.03)
