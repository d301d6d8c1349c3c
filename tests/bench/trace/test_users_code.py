"""Training loops as people write them: each traces, for a GPU and for a CPU."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from sslbench.bench.errors import TraceError
from sslbench.bench.trace.tracer import trace_step


def network():
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 64))


def images(batch_size, device="cpu"):
    return torch.randn(batch_size, 3, 32, 32, device=device)


def data_loader(device, batch_size):
    batches = iter(DataLoader(TensorDataset(images(64), torch.randint(0, 64, (64,))), batch_size=batch_size))
    model = network().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    x, y = next(batches)

    def step():
        loss = functional.cross_entropy(model(x.to(device, non_blocking=True)), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    return step


def masks_and_sorting(device, batch_size):
    embedding = nn.Embedding(100, 16).to(device)
    tokens = torch.randint(0, 100, (batch_size, 20), device=device)

    def step():
        hidden = embedding(tokens)
        chosen = hidden[tokens > 50]
        chosen = chosen[torch.randperm(chosen.shape[0], device=device)]
        hidden.masked_select((tokens > 3).unsqueeze(-1)).sum().backward(retain_graph=True)
        chosen.topk(4, dim=-1).values.sum().backward()

    return step


def a_mask_from_numpy(device, batch_size):
    hidden = torch.randn(batch_size, 10, 16, device=device, requires_grad=True)
    embedding = nn.Parameter(torch.zeros(16, device=device))
    mask = torch.from_numpy(np.arange(batch_size * 10).reshape(batch_size, 10) % 3 == 0)

    def step():
        masked = hidden.clone()
        masked[mask] = embedding
        masked.sum().backward()

    return step


def momentum_contrast(device, batch_size):
    model = network().to(device)
    teacher = copy.deepcopy(model)
    queue = functional.normalize(torch.randn(64, 1024, device=device), dim=0)
    x = images(batch_size, device)

    def step():
        query = functional.normalize(model(x))
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), model.parameters(), strict=True):
                slow.data = slow.data * 0.99 + fast.data * 0.01
            key = functional.normalize(teacher(x))
        positive = torch.einsum("nc,nc->n", [query, key]).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", [query, queue.clone().detach()])
        target = torch.zeros(batch_size, dtype=torch.long, device=device)
        functional.cross_entropy(torch.cat([positive, negative], 1) / 0.07, target).backward()
        queue[:, :batch_size] = key.T

    return step


def compiled(device, batch_size):
    model, x = torch.compile(network().to(device)), images(batch_size, device)
    return lambda: model(x).sum().backward()


def through_numpy(device, batch_size):
    model, array = network().to(device), np.zeros((batch_size, 3, 32, 32), dtype="float32")

    def step():
        out = model(torch.from_numpy(array).to(device))
        out.sum().backward()
        return out.detach().cpu().numpy().mean(), out.tolist()

    return step


def checkpointed(device, batch_size):
    block = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.1)).to(device)
    x = torch.randn(batch_size, 64, device=device, requires_grad=True)

    def step():
        y = checkpoint(block, x, use_reentrant=True)
        checkpoint(block, y, use_reentrant=False).sum().backward()

    return step


def guarded_against_nan(device, batch_size):
    model, x = nn.Linear(8, 8).to(device), torch.randn(batch_size, 8, device=device)

    def step():
        loss = model(x).square().mean()
        if torch.isnan(loss) or torch.isinf(loss).any() or not torch.isfinite(loss):
            raise ValueError("the loss is no number")
        loss.backward()

    return step


def padded_transformer(device, batch_size):
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).to(device)
    x = torch.randn(batch_size, 32, 64, device=device)
    padding = torch.zeros(batch_size, 32, dtype=torch.bool, device=device)
    return lambda: model(x, src_key_padding_mask=padding).sum().backward()


def sinkhorn(device, batch_size):
    head = nn.utils.parametrizations.weight_norm(nn.Linear(64, 512, bias=False)).to(device)
    x = torch.randn(batch_size, 64, device=device)

    def step():
        out = head(x)
        with torch.no_grad():
            share = torch.exp(out.float() / 0.05).t()
            for _ in range(3):
                share /= share.sum(1, keepdim=True)
                share /= share.sum(0, keepdim=True)
        (-(share.t() * functional.log_softmax(out, -1)).sum(-1).mean()).backward()

    return step


def cuda_by_name(device, batch_size):
    model = network().cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old names warn, and people still use them
        scaler = torch.cuda.amp.GradScaler()
        mixed = torch.cuda.amp.autocast()
    x = images(batch_size).cuda(non_blocking=True)

    def step():
        with mixed:
            loss = model(x).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        assert next(model.parameters()).is_cuda
        assert x.device.type == "cuda"

    return step


LOOPS = [data_loader, masks_and_sorting, a_mask_from_numpy, momentum_contrast, compiled, through_numpy, checkpointed]
LOOPS += [guarded_against_nan, padded_transformer, sinkhorn]


@pytest.mark.parametrize("target", ["cuda", "cpu"])
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_it_traces_and_grows_with_the_batch(loop, target):
    small, large = (trace_step(loop, target, batch_size=batch_size) for batch_size in (8, 16))
    assert small.events == large.events
    assert sum(storage.size for storage in small.storages) < sum(storage.size for storage in large.storages)


def test_a_truncated_normal_is_no_endless_loop():
    def build(device):
        with device:
            weight = nn.init.trunc_normal_(nn.Parameter(torch.empty(64, 64)), std=0.02)
        return lambda: weight.sum().backward()

    assert trace_step(build, "cuda").parameters == 64 * 64


def test_a_loop_that_waits_for_data_ends():
    def build(device):
        x = torch.zeros(4, device=device)

        def step():
            while (x.add_(1) < 3).any():
                pass

        return step

    with pytest.raises(TraceError, match="a loop waits for the value of a tensor"):
        trace_step(build, "cuda")


def test_cuda_by_name_traces_for_a_gpu():
    trace = trace_step(cuda_by_name, "cuda", batch_size=8)
    assert any(trace.kinds[call.kind].name.startswith("aten._foreach_addcdiv_") for call in trace.calls)
