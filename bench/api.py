"""The public Python API, all of it: trace a step, load a machine, predict the one on the other. Imports torch."""

from sslbench.bench.machines import find_machine as load_machine
from sslbench.bench.predict.prediction import predict
from sslbench.bench.trace.tracer import trace_step

__all__ = ["load_machine", "predict", "trace_step"]
