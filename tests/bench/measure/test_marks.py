import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import autograd, nn
from torch.autograd import grad
from torch.optim import optimizer as torch_optimizer
from torch.utils.checkpoint import checkpoint

from sslbench.bench.measure.marks import END, START, Border, Marks, stretches

B, U, D = (Border(phase, True) for phase in ("backward", "optimizer", "data"))
B_END, U_END, D_END = (Border(phase, False) for phase in ("backward", "optimizer", "data"))


def nested():
    """Borders of phases one after the other and within each other, each closed."""
    pairs = st.sampled_from([(B, B_END), (U, U_END), (D, D_END)])
    none = st.just(())
    return st.recursive(
        none,
        lambda inner: st.lists(
            st.tuples(pairs, inner).map(lambda both: (both[0][0], *both[1], both[0][1])), max_size=4
        ).map(lambda parts: tuple(border for part in parts for border in part)),
        max_leaves=8,
    )


@given(nested(), st.data())
def test_every_moment_of_a_step_belongs_to_one_phase(borders, data):
    marked = [START, *borders, END]
    moments = sorted(data.draw(st.lists(st.integers(0, 10**6), min_size=len(marked), max_size=len(marked))))
    found = stretches(list(zip(marked, moments, strict=True)))
    assert [stretch.start for stretch in found] == moments[:-1]
    assert [stretch.end for stretch in found] == moments[1:]


@pytest.mark.parametrize(
    ("borders", "phases"),
    [
        ([], "forward"),
        ([D, D_END], "forward data forward"),
        ([B, B_END, U, U_END], "forward backward optimizer optimizer other"),
        ([B, B_END, B, B_END, U, U_END], "forward backward forward backward optimizer optimizer other"),
        ([B, B_END, U, U_END, U, U_END], "forward backward optimizer optimizer optimizer optimizer other"),
        ([B, B_END], "forward backward other"),
        ([B, B, B_END, B_END, U, U_END], "forward backward backward backward optimizer optimizer other"),
        ([B, U, U_END, B_END], "forward backward optimizer backward other"),
        ([U, B, B_END, U_END], "forward optimizer backward optimizer other"),
        (
            [D, D_END, B, B_END, D, D_END, B, B_END, U, U_END],
            "forward data forward backward forward data forward backward optimizer optimizer other",
        ),
    ],
)
def test_phases_between_borders(borders, phases):
    found = stretches([(border, number) for number, border in enumerate([START, *borders, END])])
    assert [stretch.phase for stretch in found] == phases.split()


class Watch:
    """A clock that the step itself puts on."""

    def __init__(self):
        self.now = 0

    def spend(self, ticks):
        self.now += ticks


class Spending(autograd.Function):
    """The identity; its backward takes 7."""

    @staticmethod
    def forward(ctx, x, watch):
        ctx.watch = watch
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.watch.spend(7)
        return gradient, None


class SlowSGD(torch.optim.SGD):
    """Its update takes 5."""

    def __init__(self, parameters, watch):
        super().__init__(parameters, lr=0.1)
        self.watch = watch

    def step(self, closure=None):
        self.watch.spend(5)
        return super().step(closure)


def spent(step, watch):
    """What the step's phases took by its own clock."""
    marks = Marks(lambda: watch.now)
    marks.time(step)
    total = {}
    for phase, start, end in marks.steps[-1]:
        total[phase] = total.get(phase, 0) + end - start
    return total


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def layer(watch):
    layer = nn.Linear(3, 3)
    layer.loss = lambda: (watch.spend(2), Spending.apply(layer(torch.ones(2, 3)), watch).sum())[1]
    return layer


def test_a_training_step_with_accumulation_clipping_and_an_average(layer, watch):
    optimizer = SlowSGD(layer.parameters(), watch)

    def step():
        for _ in range(3):
            layer.loss().backward()
        watch.spend(11)  # as clipping does, between backward and the update
        optimizer.step()
        optimizer.zero_grad()
        watch.spend(1)

    assert spent(step, watch) == {"forward": 6, "backward": 21, "optimizer": 16, "other": 1}


def test_gradients_without_backward_by_name(layer, watch):
    def step():
        grad(layer.loss(), list(layer.parameters()))  # a name that was bound before anything was watched
        autograd.backward(layer.loss())
        watch.spend(1)

    assert spent(step, watch) == {"forward": 4, "backward": 14, "other": 1}


def test_an_optimizer_that_runs_backward_itself(layer, watch):
    optimizer = torch.optim.LBFGS(layer.parameters(), lr=1e-3, max_iter=1)

    def closure():
        optimizer.zero_grad()
        loss = layer.loss()
        loss.backward()
        return loss

    assert spent(lambda: optimizer.step(closure), watch) == {
        "forward": 0,
        "optimizer": 2,  # a forward pass within an update is part of it
        "backward": 7,
        "other": 0,
    }


def test_parameters_that_are_updated_while_backward_runs(layer, watch):
    optimizers = {parameter: SlowSGD([parameter], watch) for parameter in layer.parameters()}
    for parameter in layer.parameters():
        parameter.register_post_accumulate_grad_hook(lambda parameter: optimizers[parameter].step())
    assert spent(lambda: layer.loss().backward(), watch) == {"forward": 2, "backward": 7, "optimizer": 10, "other": 0}


def test_recomputation_within_backward_is_backward(layer, watch):
    def step():
        x = torch.ones(2, 3, requires_grad=True)
        checkpoint(lambda x: layer.loss() + x.sum(), x, use_reentrant=True).backward()

    assert spent(step, watch) == {"forward": 2, "backward": 9, "other": 0}


def test_inference_is_forward_alone(layer, watch):
    with torch.inference_mode():
        assert spent(lambda: watch.spend(3), watch) == {"forward": 3}


def test_torch_is_as_it_was_afterwards(layer):
    def hooks():
        return autograd._engine_run_backward, *(
            dict(getattr(torch_optimizer, f"_global_optimizer_{kind}_hooks")) for kind in ("pre", "post")
        )

    before = hooks()
    marks = Marks(lambda: None)
    during = []
    with pytest.raises(ZeroDivisionError):
        marks.time(lambda: (during.append(hooks()), 1 / 0))
    assert during != [before]
    assert hooks() == before
    assert marks.steps == []
