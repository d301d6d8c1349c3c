"""A trace and a machine to a prediction, with attributes named as in the record."""

from dataclasses import dataclass

from sslbench.bench.predict.memory import predict_memory
from sslbench.bench.predict.time import predict_time
from sslbench.bench.quantities import Memory, Time, Verdict, Work
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine


@dataclass(frozen=True, slots=True)
class Prediction:
    """Memory, time, work and verdict of one step on one device of a machine."""

    memory: Memory
    time: Time
    work: Work
    verdict: Verdict
    probability_fits: float


def predict(trace: Trace, machine: Machine, *, expandable: bool = False) -> Prediction:
    """Predict a traced step on a machine; `expandable`: CUDA's allocator has expandable segments."""
    memory = predict_memory(trace, machine, expandable=expandable)
    seconds = predict_time(trace, machine)
    rate = None if trace.batch_size is None else trace.batch_size / seconds.step_seconds
    time = Time(step_seconds=seconds.step_seconds, interval_seconds=seconds.interval_seconds, samples_per_second=rate)
    return Prediction(memory.memory, time, work_of(trace), memory.verdict, memory.probability_fits)


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
