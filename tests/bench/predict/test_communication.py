import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.communication import fabric_of
from sslbench.bench.predict.parallel import parallel_time
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe

GIB = 2**30
SIZES = st.integers(1, 64 * GIB)


def fabric(name, **changes):
    return fabric_of(find_machine(name, **changes))


def test_a_large_all_reduce_has_the_bus_that_nccl_reaches_on_eight_a100():
    seconds = fabric("a100-80gb:8").all_reduce(GIB).seconds
    assert 2 * 7 / 8 * GIB / seconds == pytest.approx(235e9, rel=0.02)


def test_through_the_hosts_memory_it_takes_much_longer():
    assert fabric("rtx-4090:2").all_reduce(GIB).seconds == pytest.approx(GIB / 7.9e9, rel=0.02)


@given(SIZES, SIZES)
def test_more_bytes_never_take_less(first, second):
    less, more = sorted((first, second))
    for kind in ("all_reduce", "all_gather", "reduce_scatter"):
        collective = getattr(fabric("h100:8"), kind)
        assert collective(less).seconds <= collective(more).seconds
        assert 0 < collective(less).latency < collective(less).seconds


@given(SIZES)
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather_at_most(size):
    eight = fabric("a100-80gb:8")
    assert eight.all_reduce(size).seconds <= 1.001 * (
        eight.reduce_scatter(size).seconds + eight.all_gather(size).seconds
    )


def test_one_device_has_nothing_to_send():
    assert fabric("a100-80gb:1").all_reduce(GIB).seconds == 0


def test_several_machines_need_a_network_and_go_at_its_pace():
    assert fabric("h100:64") is None
    slow, fast = (fabric("h100:64", network=rate).all_gather(GIB).seconds for rate in (25e9, 400e9))
    assert slow > 10 * fast
    assert fabric("h100:64", network=400e9).machines == 8


def test_unknown_links_are_unknown():
    assert fabric("m3-max:2") is None
    assert fabric("m3-max:2", link=32e9).bus_bytes_per_second < 32e9


@pytest.fixture(scope="module")
def bert():
    recipe = resolve_recipe("bert-mini-mlm", {})
    return {
        passes: trace_recipe(recipe.with_options(options={"accumulation": passes}), "cuda", (8, 0)) for passes in (1, 4)
    }


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_step_on_several_devices_takes_longer_and_slow_links_longer_still(bert, strategy):
    times = []
    for name in ("a100-80gb:1", "a100-80gb:8", "a100-pcie-80gb:8"):
        machine = find_machine(name)
        time = parallel_time(bert[1], machine, fabric_of(machine), strategy, single_seconds=0.01)
        assert time.single_seconds == 0.01
        assert 0 <= time.exposed_seconds <= time.communication_seconds
        times.append(time.step_seconds)
    assert times[0] == 0.01
    assert times == sorted(times)


def test_ddp_sends_every_gradient_once_however_often_they_accumulate(bert):
    machine = find_machine("rtx-4090:4")
    once, four = (parallel_time(bert[passes], machine, fabric_of(machine), "ddp") for passes in (1, 4))
    assert once.communication_bytes == four.communication_bytes == 4 * bert[1].parameters
    assert once.communication_seconds == four.communication_seconds


def test_fsdp_gathers_parameters_in_every_pass_and_scatters_gradients_in_the_last(bert):
    machine = find_machine("a100-80gb:8")
    once, four = (parallel_time(bert[passes], machine, fabric_of(machine), "fsdp") for passes in (1, 4))
    assert once.communication_bytes == pytest.approx(3 * 4 * bert[1].parameters)
    assert four.communication_bytes == pytest.approx((2 * 4 + 1) * 4 * bert[1].parameters)


def test_what_hides_nothing_shows_all_of_it(bert):
    machine = find_machine("rtx-4090:4")
    time = parallel_time(bert[1], machine, fabric_of(machine), "ddp", overlaps=False)
    assert time.exposed_seconds == pytest.approx(time.communication_seconds)
