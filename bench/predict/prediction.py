"""A trace and a machine to a prediction, with attributes named as in the record."""

from dataclasses import dataclass

from sslbench.bench.billing import Plan
from sslbench.bench.predict.communication import Fabric, fabric_of
from sslbench.bench.predict.energy import joules_interval, power_watts
from sslbench.bench.predict.memory import predict_memory
from sslbench.bench.predict.parallel import parallel_interval, parallel_time
from sslbench.bench.predict.replay import trains
from sslbench.bench.predict.sharding import on_one_of
from sslbench.bench.predict.time import TimePrediction, predict_time
from sslbench.bench.quantities import Energy, Memory, Strategy, Time, Verdict, Work
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine

_POWER_SOURCE = "predicted from the boards' power limit; the host is not in it"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Memory on one device, time, energy, work of one device and verdict of one step on all devices of a machine."""

    memory: Memory
    time: Time
    work: Work
    verdict: Verdict
    probability_fits: float
    energy: Energy
    plan: Plan | None = None


def predict(
    trace: Trace,
    machine: Machine,
    *,
    expandable: bool = False,
    strategy: Strategy = "ddp",
    alone: Time | None = None,
) -> Prediction:
    """Predict a traced step on a machine, the same batch on each of its devices.

    Args:
        trace: of the step on one device.
        machine: where; several devices whose links are not known are predicted as one of them.
        expandable: CUDA's allocator has expandable segments.
        strategy: how several devices share a training step.
        alone: the step's time on one device, where it is known better than predicted.
    """
    fabric = fabric_of(machine) if machine.device_count > 1 else None
    devices = fabric.devices if fabric else 1
    memory = predict_memory(on_one_of(trace, strategy, devices), machine, expandable=expandable)
    found = predict_time(trace, machine)
    time, plan = alone or _alone(trace, found), None
    if fabric is not None:
        time, plan = _on_all(trace, machine, fabric, strategy, time)
    energy = _energy(machine, devices, found.device_seconds, time)
    return Prediction(memory.memory, time, work_of(trace), memory.verdict, memory.probability_fits, energy, plan)


def predict_alone(trace: Trace, machine: Machine) -> Time:
    """Time of a step on one device of the machine."""
    return _alone(trace, predict_time(trace, machine))


def _alone(trace: Trace, found: TimePrediction) -> Time:
    return Time(
        step_seconds=found.step_seconds,
        interval_seconds=found.interval_seconds,
        samples_per_second=None if trace.batch_size is None else trace.batch_size / found.step_seconds,
    )


def _on_all(
    trace: Trace, machine: Machine, fabric: Fabric, strategy: Strategy, alone: Time
) -> tuple[Time, Plan | None]:
    """Time of a step on all devices, and for a training step what they exchange."""
    found = parallel_time(trace, machine, fabric, strategy, single_seconds=alone.step_seconds)
    interval = alone.interval_seconds and parallel_interval(found, alone.interval_seconds)
    rate = None if trace.batch_size is None else fabric.devices * trace.batch_size / found.step_seconds
    time = Time(step_seconds=found.step_seconds, interval_seconds=interval, samples_per_second=rate)
    if not trains(trace):
        return time, None
    return time, Plan(
        strategy=strategy,
        devices=fabric.devices,
        machines=fabric.machines,
        bus_bytes_per_second=fabric.bus_bytes_per_second,
        single_step_seconds=found.single_seconds,
        communication_bytes=found.communication_bytes,
        communication_seconds=found.communication_seconds,
        exposed_seconds=found.exposed_seconds,
        efficiency=found.single_seconds / found.step_seconds,
    )


def _energy(machine: Machine, devices: int, device_seconds: float, time: Time) -> Energy:
    step, interval = time.step_seconds, time.interval_seconds
    if not step or interval is None:
        return Energy()
    watts = power_watts(machine.device, device_seconds, step)
    if watts is None:
        return Energy()
    joules = devices * watts * step
    return Energy(joules_per_step=joules, interval_joules=joules_interval(joules, step, interval), source=_POWER_SOURCE)


def work_of(trace: Trace) -> Work:
    """What the steady step computes and moves."""
    kinds = [trace.kinds[call.kind] for call in trace.calls]
    return Work(
        flops=sum(kind.flops for kind in kinds),
        bytes_read=sum(kind.bytes_read for kind in kinds),
        bytes_written=sum(kind.bytes_written for kind in kinds),
        operators=sum(not kind.is_view for kind in kinds),
        parameters=trace.parameters,
    )
