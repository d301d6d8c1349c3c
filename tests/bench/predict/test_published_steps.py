"""Predictions against memory (torch.cuda.max_memory_allocated) and time of steps that others measured and published.

Source: Hugging Face's tables of attention back ends, made with a script that runs `zero_grad()` and
`logits.sum().backward()` on half-precision weights, without an optimizer step. BERT's decoder has its own
copy of the word embeddings there.
"""

import csv
from pathlib import Path
from statistics import mean

import pytest
import torch
from transformers.models.albert.modeling_albert import AlbertConfig, AlbertModel
from transformers.models.bert.modeling_bert import BertConfig, BertForMaskedLM
from transformers.models.gpt2.modeling_gpt2 import GPT2Config, GPT2LMHeadModel

from sslbench.bench.fit import target_of
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.prediction import predict
from sslbench.bench.trace.tracer import trace_step

ROWS = list(
    csv.DictReader(
        (Path(__file__).parents[2] / "data" / "published_training_steps.csv").read_text("utf-8").splitlines()
    )
)
ALBERT = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "embedding_size": 128}
MODELS = {
    "bert-base-uncased": lambda: BertForMaskedLM(BertConfig(tie_word_embeddings=False)),
    "albert-base-v1": lambda: AlbertModel(
        AlbertConfig(**ALBERT, vocab_size=30000, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    ),
}
MACHINES = {"NVIDIA A100 80GB": "a100-80gb", "NVIDIA RTX 2060 (doc says 8GB)": "rtx-2060"}


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


@pytest.fixture(scope="module")
def predictions():
    """The prediction of every row, by its id."""
    return {row["id"]: predicted(row) for row in ROWS}


def predicted(row):
    machine = find_machine(MACHINES[row["gpu"]])
    sizes = {"batch_size": int(row["batch_size"]), "seq_len": int(row["seq_len"])}
    capability = target_of(machine.device)[1]
    return predict(
        trace_step(build, capability=capability, model=row["model"], attention=row["attention"], **sizes), machine
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_peak_allocated_within_three_percent(row, predictions):
    peak_bytes = predictions[row["id"]].memory.peak_allocated_bytes
    assert peak_bytes == pytest.approx(float(row["peak_allocated_mb"]) * 1e6, rel=0.03)


def test_step_times_on_an_a100_are_off_by_ten_percent_at_most_on_average(predictions):
    errors = [
        abs(predictions[row["id"]].time.step_seconds / float(row["step_seconds"]) - 1)
        for row in ROWS
        if "A100" in row["gpu"]
    ]
    assert mean(errors) < 0.10


def test_nine_of_ten_step_times_lie_in_their_interval(predictions):
    inside = [
        predictions[row["id"]].time.interval_seconds[0]
        <= float(row["step_seconds"])
        <= predictions[row["id"]].time.interval_seconds[1]
        for row in ROWS
    ]
    assert mean(inside) >= 0.9


# huggingface.co/datasets/optimum-benchmark/cuda, training of GPT-2 with the Trainer on an A10G: batch 2, 16 tokens,
# fp32, AdamW; bytes that torch allocated and reserved at most, and what the device had in use.
GPT2_ALLOCATED, GPT2_RESERVED, GPT2_DEVICE = 2_506_736_640, 2_910_846_976, 3_559_391_232


def trainer(device):
    """The Trainer's step: gradients clipped, gradients freed after the update."""
    network = GPT2LMHeadModel(GPT2Config(use_cache=False)).to(device)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5)
    tokens = torch.zeros((2, 16), dtype=torch.long)

    def step():
        ids = tokens.to(device)
        network(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        network.zero_grad()

    return step


def test_allocated_reserved_and_device_memory_of_a_whole_training_step_within_one_percent():
    machine = find_machine("rtx-3090")  # a GA102 as the A10G
    memory = predict(trace_step(trainer), machine).memory
    assert memory.peak_allocated_bytes == pytest.approx(GPT2_ALLOCATED, rel=0.01)
    assert memory.peak_reserved_bytes == pytest.approx(GPT2_RESERVED, rel=0.01)
    assert memory.required_bytes == pytest.approx(GPT2_DEVICE, rel=0.01)
