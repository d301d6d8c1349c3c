"""Why a step cannot be traced, in one line: the line of the user's code, what it does, and how to write it instead."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sslbench.bench.blame import in_brief, users_line
from sslbench.bench.errors import SSLBenchError, TraceError
from sslbench.bench.trace.recorder import Recorder
from sslbench.bench.trace.refused import NO_GPU, ONE_PROCESS
from sslbench.bench.trace.tensor import KERNEL_ADVICE, READS_MEMORY

_NO_SHAPES = re.compile(
    r"(?P<op>[\w.:]+): attempted to run this operator with Meta tensors"
    r"|registered for <CustomOpDef\((?P<custom>[^)]+)\)>"
    r"|Could not run '(?P<kernel>[\w.:]+)' with arguments from the '(?:Meta|CUDA|CPU)' backend"
)
# What torch says when something is tried that no trace can do, and what to write instead. The first that fits counts.
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"No module named '(?P<package>triton|cupy|apex|cutlass)\b",
        f"{{package}}, the package of a kernel, is not installed here: {KERNEL_ADVICE}, and import it in the body",
    ),
    (
        r"No module named '(?P<package>flash_attn|xformers)\b",
        "{package} is not installed here: use torch's scaled_dot_product_attention, which takes the same memory",
    ),
    (
        r"[Ss]parse(TensorImpl|Meta|CPU|CUDA|Csr)|_to_sparse|layout set as Sparse",
        "sparse tensors are not traced: write sparse=False for embeddings, and dense tensors elsewhere",
    ),
    (
        r"Nested(Tensor|Int)|_nested_",
        "nested tensors are not traced: pad to the longest (torch.nn.utils.rnn.pad_sequence), with a mask",
    ),
    (r"[Qq]uantized|qint8", "quantized tensors are not traced: trace the model before quantization"),
    (
        r"all unwrapped values must be FakeTensor",
        "higher-order operators (flex_attention, cond, scan) are not traced: use scaled_dot_product_attention, and "
        "Python's own control flow",
    ),
    (r"'lengths' argument should be", "packed sequences are not traced: give the layer the padded batch"),
    (r"uninitialized parameter|UninitializedParameter", "lazy modules are not traced: give the layer its input size"),
    (
        r"Creating a new Tensor subclass",
        "tensor subclasses of one's own are not traced: use plain tensors",
    ),
    (
        r"data is not allocated yet|data pointer on an invalid python storage|Cannot pack tensors on meta"
        r"|Cannot access data pointer|a traced tensor has no memory",
        READS_MEMORY,
    ),
    (r"NCCL|process group|ProcessGroup|DistributedDataParallel", ONE_PROCESS),
    (
        r"tensortype|type torch\.cuda\.\w+Tensor not available",
        "torch.cuda.FloatTensor and its kind are not traced: write torch.tensor(..., device=device)",
    ),
    (r"not linked with support for cuda", NO_GPU),
    (
        r"not linked with support for (mps|xpu|hip|vulkan|xla)|(mps|xpu) devices",
        "the step names a device of its own: use the device that the factory is given",
    ),
    (
        r"couldn't connect to|Can't load (the )?(model|config|token)|offline mode|LocalEntryNotFound"
        r"|is not a local folder|Cannot find the requested files|MaxRetryError|Name or service not known"
        r"|Temporary failure in name resolution",
        "a download failed, and a trace needs no weights: build the model from its configuration "
        "(AutoModel.from_config(BertConfig())), or name a folder that is here",
    ),
)
_HANGS_ON_VALUES = (KeyError, IndexError, ValueError, AssertionError, ZeroDivisionError, RuntimeError)


@contextmanager
def explained(recorder: Recorder) -> Iterator[None]:
    """Turn what the step raises into one line that names the place in the user's code and the way out.

    Raises:
        TraceError: for whatever else is raised.
    """
    try:
        yield
    except TraceError as error:
        place = users_line(error)
        raise TraceError(f"{place}: {error}" if place else str(error)) from error
    except SSLBenchError as error:
        cause = error.__cause__
        if not isinstance(cause, Exception) or isinstance(cause, SSLBenchError):
            raise
        words = advice(cause)
        if words is not None:
            raise TraceError(f"{_place(cause)}{words}") from cause
        raise type(error)(f"{error}{_caveat(cause, recorder)}") from cause
    except Exception as error:
        words = advice(error) or f"the step failed on tensors without data: {in_brief(error)}"
        raise TraceError(f"{_place(error)}{words}{_caveat(error, recorder)}") from error


def advice(error: BaseException) -> str | None:
    """What to write instead, where torch's own words would not say it; None: they do."""
    words = in_brief(error)  # what torch adds for its developers names every backend
    match = _NO_SHAPES.search(words)
    for pattern, text in _ADVICE:
        found = re.search(pattern, words)
        if found:
            package = found.groupdict().get("package")
            return text.replace("{package}", package) if package else text
    if match is None:
        return None
    name = next(group for group in match.groups() if group)
    if name.startswith("aten::"):
        return f"{name} is not traced: the shape of its result depends on data, or torch has no rule for it"
    return f"operator {name} does not say its output shapes: add them with torch.library.register_fake({name!r})"


def _place(error: BaseException) -> str:
    place = users_line(error)
    return f"{place}: " if place else ""


def _caveat(error: BaseException, recorder: Recorder) -> str:
    """A step that went wrong after it read values may have gone wrong because of them."""
    if recorder.questions and isinstance(error, _HANGS_ON_VALUES):
        return " (the step reads values of tensors; a trace has none: a number is 1, a condition true)"
    return ""
