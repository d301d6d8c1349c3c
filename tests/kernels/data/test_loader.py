import importlib

import pytest
import torch

from sslbench.bench.build import _arguments
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.catalog import objective_module, recipe_tables
from sslbench.kernels.data.augmentation import Augmentation
from sslbench.kernels.data.loader import Batches, make_batches
from sslbench.kernels.data.source import DataError, Source
from sslbench.kernels.objective import assemble, build_fed
from sslbench.kernels.setup import Setup, Training

CPU = torch.device("cpu")
SMALL = {  # one of each objective, and of each kind of input that the second stage takes
    "barlow-twins-resnet18": "images",
    "beit-ti-16": "images",
    "bert-mini-mlm": "text",
    "byol-resnet18": "images",
    "clip-vit-ti-16": "images",
    "clm-stories15m": "text",
    "dino-vit-ti-16": "images",
    "dinov2-vit-ti-14": "images",
    "finetune-bert-mini": "text",
    "finetune-resnet18": "images",
    "linear-probe-bert-mini": "text",
    "linear-probe-resnet18": "images",
    "lora-bert-mini": "text",
    "mae-vit-ti-16": "images",
    "moco-v2-resnet18": "images",
    "moco-v3-vit-ti-16": "images",
    "simclr-resnet18": "images",
    "simcse-bert-mini": "text",
    "simmim-swin-mini": "images",
    "simsiam-resnet18": "images",
    "swav-resnet18": "images",
    "vicreg-resnet18": "images",
}
SOUND = ("hubert-tiny", "wav2vec2-tiny")


@pytest.fixture
def source(image_folder, tmp_path):
    (tmp_path / "text.txt").write_text("Tiger, tiger, burning bright\nIn the forests of the night\n" * 60)
    paths = {"images": image_folder, "text": tmp_path / "text.txt"}
    return lambda kind, workers=0: Source(kind=kind, path=str(paths[kind]), workers=workers)


def fed(name, source, **changes):
    recipe = resolve_recipe(name, {"batch_size": 4, **changes})
    objective = importlib.import_module(objective_module(recipe.objective))
    setup, keywords = _arguments(recipe, objective)
    return build_fed(objective, setup(CPU), source, stage=recipe.stage, **keywords)


def test_every_objective_is_among_the_small_recipes():
    named = {recipe_tables()[name]["objective"] for name in (*SMALL, *SOUND)}
    assert named == {table["objective"] for table in recipe_tables().values()}


@pytest.mark.parametrize("stage", ["train", "infer"])
@pytest.mark.parametrize("name", SMALL)
def test_every_objective_runs_on_files(name, source, stage):
    step, batches = fed(name, source(SMALL[name]), stage=stage)
    synthetic = next(batches)
    with batches.loading():
        real = next(batches)
        assert torch.isfinite(step()).all()
    assert [tensor.shape for tensor in real] == [tensor.shape for tensor in synthetic]
    assert [tensor.dtype for tensor in real] == [tensor.dtype for tensor in synthetic]
    assert not torch.equal(real[0], synthetic[0])
    assert next(batches)[0] is synthetic[0]


@pytest.mark.parametrize("name", [name for name, kind in SMALL.items() if kind == "images"])
def test_every_objective_on_images_says_how_it_sees_them(name):
    recipe = resolve_recipe(name, {"batch_size": 4})
    objective = importlib.import_module(objective_module(recipe.objective))
    setup, keywords = _arguments(recipe, objective)
    training = objective.train(setup(CPU), **{key: value for key, value in keywords.items() if key != "stage"})
    images = [tensor for tensor in training.inputs if tensor.dim() == 4]
    views = sum(len(tensor) for tensor in images) // 4
    assert 1 <= len(training.augmentations) <= views or len(images) > views


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("hubert-tiny", "images", "--images: the step takes sound, which cannot be loaded yet"),
        ("wav2vec2-tiny", "text", "--text: the step takes sound"),
        ("bert-mini-mlm", "images", r"--images: the step takes text \(--text\)"),
        ("clip-vit-ti-16", "text", r"--text: the step takes images \(--images\)"),
    ],
)
def test_a_step_that_takes_something_else_is_refused(name, kind, message, source):
    with pytest.raises(DataError, match=message):
        fed(name, source(kind))


def test_rows_are_view_after_view_of_the_same_images(image_folder):
    # images of one colour each: views of one image are alike, whatever the crop
    inputs = (torch.zeros(4, 3, 8, 8), torch.zeros(2, 3, 4, 4))
    setup = Setup(device=CPU, model="resnet18", batch_size=2)
    crops = (Augmentation(scale=(0.5, 1)), Augmentation(scale=(0.2, 0.5)))
    batches = make_batches(inputs, setup, Source(kind="images", path=str(image_folder), workers=0), crops)
    with batches.loading():
        for _ in range(5):
            large, small = (tensor.mean(dim=(2, 3)) for tensor in next(batches))
            torch.testing.assert_close(large[:2], large[2:], atol=0.02, rtol=0)
            torch.testing.assert_close(large[:2], small, atol=0.02, rtol=0)


class Numbers(torch.utils.data.Dataset):
    def __init__(self, bad=None):
        self.bad = bad

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return DataError("file 3: is bad") if index == self.bad else [torch.full((1, 2), float(index))]


def numbers(workers, bad=None, inputs=None):
    inputs = (torch.zeros(4, 2),) if inputs is None else inputs
    return Batches(inputs, Numbers(bad), [0], batch_size=4, workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_item_comes_once_in_a_round_without_an_end(workers):
    batches = numbers(workers)
    with batches.loading():
        seen = torch.cat([next(batches)[0] for _ in range(6)])[:, 0].tolist()
    rounds = [sorted(seen[start : start + 6]) for start in range(0, 24, 6)]
    assert rounds == [[0, 1, 2, 3, 4, 5]] * 4
    assert seen[:6] != seen[6:12]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_is_the_same_line_wherever_it_is_read(workers):
    batches = numbers(workers, bad=3)
    with batches.loading(), pytest.raises(DataError, match=r"^file 3: is bad$"):
        for _ in range(3):
            next(batches)


def test_real_batches_have_the_type_and_layout_of_the_synthetic_one(image_folder):
    synthetic = torch.zeros(2, 3, 8, 8, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    setup = Setup(device=CPU, model="resnet18", batch_size=2)
    batches = make_batches((synthetic,), setup, Source(kind="images", path=str(image_folder), workers=0), ())
    with batches.loading():
        (real,) = next(batches)
    assert real.dtype == torch.bfloat16
    assert real.stride() == synthetic.stride()


def test_each_accumulated_pass_takes_a_batch_of_its_own():
    network = torch.nn.Linear(2, 1)
    seen = []

    def loss(numbers_B2):
        seen.append(numbers_B2[:, 0].tolist())
        return network(numbers_B2).square().mean()

    batches = numbers(0)
    training = Training(network=network, inputs=next(batches), loss=loss, learning_rate=0.1)
    step = assemble(training, Setup(device=CPU, model="", batch_size=4, accumulation=3, optimizer="sgd"), batches)
    with batches.loading():
        step()
    assert sorted([*seen[0], *seen[1]][:6]) == [0, 1, 2, 3, 4, 5]
    step()
    assert seen[3:] == [[0.0] * 4] * 3
