"""Step times of ResNet-50 training on many cards; one constant was set by the fp16 rows of the A100 and the H100.

Source: https://github.com/lambdal/deeplearning-benchmark, NVIDIA's ResNet-50 v1.5 script on one GPU, NCHW, autocast in
fp16, or fp32 (TF32 where the card has it). Where a card was measured often, the median.
"""

import csv
from pathlib import Path
from statistics import mean

import pytest
import torch
from transformers.models.resnet.modeling_resnet import ResNetConfig, ResNetForImageClassification

from sslbench.bench.fit import target_of
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.time import predict_time
from sslbench.bench.trace.tracer import trace_step

DATA = Path(__file__).parents[2] / "data" / "published_resnet50_training.csv"
ROWS = list(csv.DictReader(DATA.read_text("utf-8").splitlines()))
BATCH = 128  # the published ones fill the card; throughput is the same from here on


def build(device, *, batch_size, half):
    with device:
        network = ResNetForImageClassification(ResNetConfig(num_labels=1000))
        x = torch.randn(batch_size, 3, 224, 224)
        y = torch.zeros(batch_size, dtype=torch.long)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def step():
        with torch.autocast("cuda", dtype=torch.float16, enabled=half):
            loss = torch.nn.functional.cross_entropy(network(x).logits, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


@pytest.fixture(scope="module")
def ratios():
    """Predicted over published step time, and whether the published one lies in the interval, by row."""
    traces = {}
    found = {}
    for row in ROWS:
        machine = find_machine(row["machine"])
        key = (row["precision"] == "fp16", target_of(machine.device)[1])
        if key not in traces:
            traces[key] = trace_step(build, capability=key[1], batch_size=BATCH, half=key[0])
        prediction = predict_time(traces[key], machine)
        published = BATCH / float(row["images_per_second"])
        low, high = prediction.interval_seconds
        found[row["id"]] = (prediction.step_seconds / published, low <= published <= high)
    return found


def test_step_times_of_sixteen_kinds_of_cards_are_off_by_a_tenth_at_most_on_average(ratios):
    assert len({row["machine"] for row in ROWS}) == 16
    assert mean(abs(ratio - 1) for ratio, _ in ratios.values()) < 0.10


def test_nine_of_ten_lie_in_their_interval(ratios):
    assert mean(inside for _, inside in ratios.values()) >= 0.9
