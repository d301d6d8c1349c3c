from pathlib import Path

import pytest
from hypothesis import strategies as st

from sslbench.bench.explanation import (
    Alive,
    ConstantUsed,
    Explanation,
    MeasuredElsewhere,
    OperatorTime,
    Sharpening,
    Timeline,
)
from sslbench.bench.grid import Settings, WhatIf
from sslbench.bench.measured import Failure, GpuState, PhaseMeasured, Predicted, Rank, Scaling, State, Utilization
from sslbench.bench.probe.figures import with_figures
from sslbench.bench.quantities import Energy, Memory, Time
from sslbench.bench.record import load_records
from sslbench.hardware_profiles.loader import load_machine
from sslbench.hardware_profiles.schema import KernelTiming, Point, Probe, Processor

RECORDS = Path(__file__).parents[1] / "data" / "records"

# What the schema lets through, which is more than a prediction writes.
st.register_type_strategy(
    Timeline,
    st.builds(
        Timeline,
        part=st.just("build"),
        events=st.integers(-2, 50),
        positions=st.lists(st.integers(-2, 50), max_size=20),
        bytes=st.dictionaries(
            st.sampled_from(["parameter", "activation", "of my own"]),
            st.lists(st.integers(-5, 10**12), max_size=20),
            max_size=3,
        ),
        phases=st.lists(st.tuples(st.text(max_size=12), st.integers(-2, 60)), max_size=5),
        peak_at=st.none() | st.integers(-2, 25),
    ),
)


@pytest.fixture(scope="session")
def sample():
    """A sample record by the stem of its file."""
    return lambda stem: load_records(RECORDS / f"{stem}.json")[0]


@pytest.fixture(scope="session")
def samples():
    return [record for path in sorted(RECORDS.glob("*.json")) for record in load_records(path)]


MIB, GIB = 2**20, 2**30
CAUSE = "out of memory in phase 'warm-up': lower --batch-size, or ask `sslbench fit` what would fit"


def measured(base, batch, precision, *, step_s, mib):
    """A measurement as `profile` writes it today, with every field that a processor has."""
    samples = [step_s * (1 + 0.004 * ((7 * number) % 11 - 5)) for number in range(40)]
    rate, flops = batch / step_s, 1.4e9 * batch
    memory = Memory(
        peak_allocated_bytes=int(0.62 * mib * MIB),
        fixed_overhead_bytes=402 * MIB,
        required_bytes=mib * MIB,
        capacity_bytes=base.memory.capacity_bytes,
        unique_bytes=(mib - 61) * MIB,
        minor_page_faults=2210,
    )
    phases = (("forward", 0.31, 0.55), ("backward", 0.55, 0.62), ("optimizer", 0.12, 0.4), ("other", 0.02, 0.39))
    said = Predicted(
        memory=Memory(
            peak_allocated_bytes=memory.peak_allocated_bytes,
            required_bytes=int(0.97 * mib * MIB),
            interval_bytes=(0.9 * mib * MIB, 1.04 * mib * MIB),
            allocated_interval_bytes=(0.61 * mib * MIB, 0.63 * mib * MIB),
            capacity_bytes=base.memory.capacity_bytes,
        ),
        time=Time(step_seconds=1.12 * step_s, interval_seconds=(0.5 * step_s, 2.2 * step_s)),
        verdict="fits",
        max_batch_size=96,
        memory_error=-0.03,
        allocated_error=0.0,
        time_error=0.12,
    )
    return base.model_copy(
        update={
            "recipe": base.recipe.with_options(batch_size=batch, precision=precision),
            "memory": memory,
            "time": Time(
                step_seconds=step_s,
                interval_seconds=(0.994 * step_s, 1.004 * step_s),
                samples_per_second=rate,
                samples_seconds=samples,
                mad_seconds=0.012 * step_s,
                warmup_steps=6,
                tokens_per_second=128 * rate,
            ),
            "energy": Energy(),
            "phases": [
                PhaseMeasured(name=name, seconds=share * step_s, peak_allocated_bytes=int(held * mib * MIB))
                for name, share, held in phases
            ],
            "utilization": Utilization(
                flops_per_second=flops / step_s,
                peak_flops_per_second=131e9,
                peak_basis="measured",
                model_flops_utilization=flops / step_s / 131e9,
            ),
            "predicted": said,
            "state": State(load_average=0.31, governor="performance", smt=True, others_cpu_share=0.012),
            "warnings": [],
        }
    )


def failed(base, batch, precision):
    """The same where the step ran out of memory, as had been predicted."""
    need = Memory(required_bytes=int(9.4 * GIB), capacity_bytes=int(7.1 * GIB))
    return base.model_copy(
        update={
            "recipe": base.recipe.with_options(batch_size=batch, precision=precision),
            "memory": Memory(),
            "time": Time(),
            "failure": Failure(kind="out-of-memory", phase="warm-up", steps_done=0, message=CAUSE),
            "predicted": Predicted(memory=need, time=Time(step_seconds=4.1), verdict="does-not-fit", max_batch_size=96),
            "unknown": {"time.step_seconds": "the step did not run: out of memory"},
            "warnings": [],
        }
    )


@pytest.fixture(scope="session")
def sweep(sample):
    """Six measurements of one recipe on a processor; the last one failed."""
    base = sample("measurement-cpu")
    sizes = ((8, 0.2461, 861), (16, 0.4412, 1204), (32, 0.8325, 1903))
    fp32 = [measured(base, batch, "fp32", step_s=step_s, mib=mib) for batch, step_s, mib in sizes]
    bf16 = [measured(base, batch, "bf16", step_s=0.61 * step_s, mib=mib - 190) for batch, step_s, mib in sizes[1:]]
    return [*fp32, *bf16, failed(base, 128, "fp32")]


@pytest.fixture(scope="session")
def on_cards(sample):
    """A step on two cards, with everything that NVML and two ranks tell."""
    base = measured(sample("measurement-cpu"), 64, "bf16", step_s=0.0412, mib=21_400)
    before = GpuState(temperature_celsius=41, graphics_clock_mhz=1980, power_watts=121.4, power_limit_watts=700)
    after = before.model_copy(
        update={
            "temperature_celsius": 63,
            "graphics_clock_mhz": 1755,
            "power_watts": 688.0,
            "utilization": 0.98,
            "throttle_reasons": ["power cap"],
            "other_processes": 1,
            "other_utilization": 0.31,
        }
    )
    ranks = [
        Rank(rank=rank, device=f"cuda:{rank}", step_seconds=0.0412 - 0.0003 * rank, peak_allocated_bytes=13 * GIB)
        for rank in range(2)
    ]
    return base.model_copy(
        update={
            "backend": "torch-cuda",
            "machine": load_machine("h200").model_copy(update={"device_count": 2}),
            "memory": base.memory.model_copy(
                update={"peak_reserved_bytes": 15 * GIB, "device_used_bytes": 23 * GIB, "capacity_bytes": 141 * GIB}
            ),
            "energy": Energy(joules_per_step=23.4, source="NVML: energy counter of the board"),
            "state": State(load_average=1.2, gpu_before=before, gpu_after=after),
            "scaling": Scaling(
                devices=2,
                strategy="ddp",
                communication="nccl",
                ranks=ranks,
                single_step_seconds=0.0391,
                efficiency=0.949,
            ),
            "utilization": Utilization(
                flops_per_second=612e12,
                peak_flops_per_second=1978e12,
                peak_basis="datasheet",
                model_flops_utilization=612 / 1978,
            ),
            "snapshot": "step.pickle",
            "predicted": None,
            "warnings": ["another process used 31 % of the GPU while steps were timed"],
        }
    )


TIMELINE = Timeline(
    part="second step",
    events=400,
    positions=[0, 100, 200, 300],
    bytes={
        "parameter": [GIB, GIB, GIB, GIB],
        "gradient": [0, 0, GIB, GIB],
        "activation": [0, 6 * GIB, 2 * GIB, 0],
        "temporary": [0, 0, GIB, 0],
    },
    phases=[("forward", 0), ("backward", 150), ("optimizer", 300)],
    peak_at=1,
)


@pytest.fixture(scope="session")
def timeline():
    return TIMELINE


@pytest.fixture(scope="session")
def explained():
    """Makes any prediction one that is explained, and sharpened by a measurement; every text in it is `text`."""
    return _explained


def _explained(record, text="aten.mm.default"):
    memory = record.memory.model_copy(update={"capacity_bytes": 20 * GIB, "required_bytes": 8 * GIB})
    measured = MeasuredElsewhere(recipe=text, batch_size=8, machine=text, step_seconds=0.22, predicted_seconds=0.2)
    sharpening = Sharpening(measured=[measured], unsharpened=record.time)
    return record.model_copy(update={"memory": memory, "explain": _explanation(text), "sharpening": sharpening})


def _explanation(text):
    return Explanation(
        timeline=TIMELINE,
        phase_peaks_bytes={"forward": 7 * GIB, "backward": 5 * GIB},
        alive_at_peak=[
            Alive(
                module=f"Net.{text}", category="activation", bytes=6 * GIB, storages=12, operator=text, line=f"{text}:3"
            ),
            Alive(module="", category="parameter", bytes=GIB, storages=1, operator=text, line=""),
        ],
        device_seconds=0.2,
        launch_seconds=7e-6,
        operators=[
            OperatorTime(
                operator=text,
                calls=12,
                seconds=0.1,
                bound="compute",
                family="matrix product",
                dtype="bf16",
                flops=10**13,
                bytes=4 * 10**10,
            ),
            OperatorTime(
                operator=text, calls=30, seconds=0.08, bound="bandwidth", family=f"copy {text}", bytes=4 * 10**10
            ),
            OperatorTime(operator=text, calls=1, seconds=0.02, bound="launch", family="pointwise", bytes=10**6),
        ],
        cache_bytes_per_second=4e12,
        constants=[
            ConstantUsed(name=text, value=600 * MIB, unit="B", meaning=text, source=text),
            ConstantUsed(name="factor.matrix-product.traffic", value=2.0, unit="", meaning="m", source=text),
        ],
    )


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</title></style><h1>",
    "a\"b'c` onload=x",
    "a\u2028b\u2029c",
    "safe\u202etxt.exe",
    "{{ 7 * 7 }}{% raw %}",
    "[bold red]x[/] [link=file:///etc/passwd]y[/link]",
    "\x1b[31mred\x1b]0;title\x07",
    "| a | b |\n|---|---|\n# heading",
    "[x](javascript:alert(1)) ![y](http://a.example/z.png) <!-- c",
    "n" * 10_000,
]


@pytest.fixture(scope="session")
def with_grid():
    """A prediction with a grid of other settings around its own: twice the batch takes twice the memory and time."""
    return _with_grid


def _with_grid(record, unknown=""):
    own, precision = record.recipe.batch_size, record.recipe.precision
    batches = [own // 2, own, 2 * own, 4 * own]
    settings = [
        _settings(record, batches, precision, checkpointing=False, share=1.0),
        _settings(record, batches, precision, checkpointing=True, share=0.5),
        _settings(record, batches, "fp16", checkpointing=False, share=1.0, unknown=unknown),
    ]
    return record.model_copy(update={"what_if": WhatIf(batch_sizes=batches, settings=settings)})


def _settings(record, batches, precision, *, checkpointing, share, unknown=""):
    memory, time = record.memory, record.time
    factors = [batch / record.recipe.batch_size for batch in batches]
    sizes = [round(share * factor * memory.required_bytes) for factor in factors]
    seconds = [time.step_seconds * factor * (2 - share) for factor in factors]
    kept = len(batches) - bool(unknown)  # the last cell could not be computed

    def column(values):
        return [*list(values)[:kept], *[None] * (len(batches) - kept)]

    return Settings(
        precision=precision,
        activation_checkpointing=checkpointing,
        max_batch_size=int(record.recipe.batch_size * memory.capacity_bytes / memory.required_bytes / share),
        verdicts=column("fits" if size < memory.capacity_bytes else "does-not-fit" for size in sizes),
        required_bytes=column(sizes),
        interval_bytes=column((round(0.9 * size), round(1.1 * size)) for size in sizes),
        step_seconds=column(seconds),
        interval_seconds=column((0.8 * second, 1.25 * second) for second in seconds),
        samples_per_second=column(batch / second for batch, second in zip(batches, seconds, strict=True)),
        run_seconds=column(1e6 * second / batch for batch, second in zip(batches, seconds, strict=True)),
        rent_usd=[None] * len(batches),
        unknown=[*[""] * kept, *[unknown] * (len(batches) - kept)],
    )


@pytest.fixture(scope="session")
def poisoned(samples, sweep, on_cards):
    """Records with a given text in every place that takes one."""
    records = (*samples, sweep[0], on_cards, sweep[-1])
    predicted = next(record for record in samples if record.kind == "prediction")
    return lambda text: [*(_poisoned(record, text) for record in records), _explained(_poisoned(predicted, text), text)]


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request, poisoned):
    """A hostile text, and records with it in every place that takes a text."""
    return request.param, poisoned(request.param)


def _poisoned(record, text):
    recipe = record.recipe.model_copy(
        update={"name": text, "title": text, "model": text, "optimizer": text, "paper": text, "options": {text: text}}
    )
    device = record.machine.device
    device = device.model_copy(update={"memory_bytes": device.memory_bytes.model_copy(update={"source": text})})
    machine = record.machine.model_copy(update={"name": text, "title": text, "notes": text, "device": device})
    environment = record.environment.model_copy(update={"platform": text, "processor": text, "packages": {text: text}})
    return record.model_copy(
        update={
            "recipe": recipe,
            "machine": machine,
            "environment": environment,
            "command": ["fit", text],
            "memory": record.memory.model_copy(update={"breakdown": record.memory.breakdown | {text: 5}}),
            "energy": record.energy.model_copy(update={"source": text}),
            "unknown": {text: text, "energy.joules_per_step": text},
            "warnings": [text],
            **_poisoned_parts(record, text),
        }
    )


def _poisoned_parts(record, text):
    """Texts of those parts that the record has."""
    parts = {"snapshot": text}
    if record.failure:
        parts["failure"] = record.failure.model_copy(update={"phase": text, "message": text})
    if record.state:
        gpu = record.state.gpu_after
        gpu = gpu and gpu.model_copy(update={"throttle_reasons": [text]})
        parts["state"] = record.state.model_copy(update={"governor": text, "container": text, "gpu_after": gpu})
    if record.kind == "prediction":
        parts["what_if"] = _with_grid(record, text).what_if
    if record.scaling:
        ranks = [rank.model_copy(update={"device": text}) for rank in record.scaling.ranks]
        parts["scaling"] = record.scaling.model_copy(update={"communication": text, "ranks": ranks})
    return parts


def _timing(kernel, names, *points, dtype="bf16"):
    made = tuple(Point(shape=shape, seconds=seconds) for shape, seconds in points)
    return KernelTiming(
        kernel=kernel, dtype=dtype, shape_names=names, points=made, noise=0.012, source="sslbench probe: made up"
    )


@pytest.fixture(scope="session")
def probed():
    """A machine with figures of `sslbench probe`, and a hostile text in every place that takes one."""
    text = "<script>alert(1)</script>\x1b[2J\u202e"
    base = load_machine("h200")
    timings = (
        _timing("matmul", ("m", "n", "k"), ((8192, 8192, 8192), 0.0015), ((64, 64, 64), 5e-6)),
        _timing("convolution_backward_nhwc", tuple("nchwoksg"), ((64, 64, 56, 56, 64, 3, 1, 1), 1e-4)),
        _timing("attention", tuple("bhqkd"), ((2, 16, 4096, 4096, 64), 4e-4)),
        _timing("copy", ("bytes",), ((2**20,), 2e-6), ((2**30,), 5e-4), dtype="fp32"),
        _timing("host_to_device_pinned", ("bytes",), ((2**28,), 5e-3), dtype="fp32"),
        _timing("eager_block", (), ((), 4e-6), dtype="fp32"),
    )
    probe = Probe(device=text, torch=text, date=text, seconds=50, warnings=(text,))
    processor = Processor(name=text, cores=8, logical_cores=16, instructions=(text,), l2_cache_bytes=2**20)
    changes = {
        "title": text,
        "device": with_figures(base.device, timings),
        "probe": probe,
        "processor": processor,
    }
    return base.model_copy(update=changes)
