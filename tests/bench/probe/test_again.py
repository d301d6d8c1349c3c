"""Several probes of one machine as one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import MeasureError
from sslbench.bench.probe.again import faster_of
from sslbench.hardware_profiles.loader import load_machine, load_profile

PROBED = load_profile(Path(__file__).parents[2] / "data" / "cpu" / "probe.toml")


def slowed(factors):
    """The probed machine with each point slower by a factor, over and over."""
    taken = iter(factors * 400)
    kernels = tuple(
        timing.model_copy(
            update={
                "points": tuple(
                    point.model_copy(update={"seconds": point.seconds * next(taken)}) for point in timing.points
                )
            }
        )
        for timing in PROBED.device.kernels
    )
    return PROBED.model_copy(update={"device": PROBED.device.model_copy(update={"kernels": kernels})})


@given(st.lists(st.sampled_from([1.0, 1.5, 3.0]), min_size=1, max_size=7))
def test_what_slowed_one_probe_down_is_gone_in_both(factors):
    others = [4.0 if factor == 1.0 else 1.0 for factor in factors]
    both = faster_of(slowed(factors), slowed(others))
    assert both.device.kernels == PROBED.device.kernels
    assert both.probe.repeats == 2 * PROBED.probe.repeats
    # the figures follow from the points
    assert both.device.peak_flops_per_second["fp32"].value == PROBED.device.peak_flops_per_second["fp32"].value
    assert faster_of(both, PROBED).probe.repeats == 3 * PROBED.probe.repeats


def test_a_disturbance_stays_doubtful_only_if_both_had_one():
    busy = PROBED.model_copy(update={"probe": PROBED.probe.model_copy(update={"warnings": ("others were busy",)})})
    quiet = PROBED.model_copy(update={"probe": PROBED.probe.model_copy(update={"warnings": ()})})
    assert faster_of(busy, quiet).probe.warnings == faster_of(quiet, busy).probe.warnings == ()
    assert faster_of(busy, busy).probe.warnings == ("others were busy",)


def test_what_was_never_probed_is_refused():
    with pytest.raises(MeasureError, match=r"rtx-4090 was never probed: probe without --again"):
        faster_of(load_machine("rtx-4090"), PROBED)
