"""Real input from the command's side: a worker of its own, files on disk."""

from contextlib import contextmanager

import pytest
from PIL import Image

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.loading import loader_rate
from sslbench.bench.measure.manager import measure
from sslbench.bench.record import dump_records, load_records
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.data.source import Source


@pytest.fixture
def files(tmp_path):
    for number in range(6):
        Image.new("RGB", (80, 70), (40 * number, 80, 120)).save(tmp_path / f"{number}.jpg")
    (tmp_path / "a.txt").write_text("all work and no play makes Jack a dull boy\n" * 50)
    return tmp_path


def measured(name, path, *, kind, workers=1, changes=(), steps=2, **options):
    recipe = resolve_recipe(name, {"batch_size": 2, **dict(changes)})
    source = Source(kind=kind, path=str(path), workers=workers)
    budget = Budget(steps=steps, warmup=2)
    asked = {"backend": "torch-cpu", "budget": budget, "command": [], "predict": False, **options}
    return measure(recipe, source=source, **asked)


@pytest.mark.slow
def test_loader_and_fed_step_are_measured_beside_the_synthetic_one(files):
    told = []
    record = measured(
        "simclr-resnet18",
        files,
        kind="images",
        workers=2,
        changes={"image_size": 32},
        progress=lambda _, done, total: told.append((done, total)),
    )
    data = record.data
    assert (data.kind, data.source, data.workers, data.items) == ("images", str(files), 2, 6)
    assert data.loader_samples_per_second > 0
    assert len(data.samples_seconds) == len(record.time.samples_seconds) == 2
    assert data.step_seconds == pytest.approx(sum(data.samples_seconds) / 2)
    assert data.samples_per_second == pytest.approx(2 / data.step_seconds)
    slower = "loader" if data.loader_samples_per_second < record.time.samples_per_second else "model"
    assert data.limit == slower
    assert [phase.name for phase in record.phases] == ["data", "forward", "backward", "optimizer", "other"]
    assert all(phase.seconds > 0 for phase in record.phases)
    assert "synthetic input" in record.unknown["phases.data.peak_allocated_bytes"]
    assert all(phase.peak_allocated_bytes > 0 for phase in record.phases[1:])
    assert told == sorted(told)
    assert told[-1] == (8, 8)
    (files / "r.json").write_text(dump_records([record]))
    assert load_records(files / "r.json") == [record]


class Counted:
    """Batches of 3 samples by 2 workers, which take no time but are counted."""

    workers, batch_size = 2, 3

    def __init__(self):
        self.loads = []

    @contextmanager
    def loading(self):
        self.loads.append(0)
        yield

    def load(self):
        self.loads[-1] += 1


@pytest.mark.parametrize(("steps", "max_seconds", "loads"), [(4, 60, 6), (5, 60, 8), (1, 60, 4), (1000, 1e-9, 4)])
def test_whole_rounds_of_the_loader_are_timed_after_a_first_one(steps, max_seconds, loads):
    batches = Counted()
    assert loader_rate(batches, steps=steps, max_seconds=max_seconds) > 0
    assert batches.loads == [loads]


@pytest.mark.slow
def test_a_file_that_turns_out_to_be_no_image_ends_in_its_name(files):
    (files / "5.jpg").write_bytes(b"no image")
    with pytest.raises(MeasureError, match=r"^.*5\.jpg: is no image that Pillow can read \(.*\): mend it") as raised:
        measured("simclr-resnet18", files, kind="images", workers=2, changes={"image_size": 32}, steps=6)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "--workers: at least 0, got -1"),
        ({"backend": "onnx-cpu", "changes": {"stage": "infer"}}, "--text: onnx-cpu runs on synthetic input only"),
    ],
)
def test_what_cannot_be_loaded_is_said_before_a_worker_starts(options, message, files):
    with pytest.raises(MeasureError, match=message):
        measured("bert-mini-mlm", files, kind="text", **options)


def test_a_step_of_ones_own_loads_its_own_input(write_step, files):
    recipe = resolve_recipe(write_step(), {})
    source = Source(kind="images", path=str(files), workers=0)
    with pytest.raises(MeasureError, match=r"^--images: my_step:build is a step of one's own"):
        measure(recipe, backend="torch-cpu", source=source, command=[])
