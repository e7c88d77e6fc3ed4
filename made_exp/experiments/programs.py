"""Programs of log_prob in the formats of other libraries, each compared with its model."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from made_exp.density.program import LogProbProgram
from made_exp.errors import ConfigError
from made_exp.model.made import MADE

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_NUM_TRACED, _NUM_CHECKED = 3, 64
_TOLERANCE = 1e-4
Run = Callable[..., Tensor]


def check_format(suffix: str) -> None:
    """Raise ConfigError if a library that `suffix` needs is not installed."""
    lacking = [name for name in _NEEDED if suffix == ".onnx" and find_spec(name) is None]
    if lacking:
        raise ConfigError(f"path: .onnx needs {lacking[0]}: pip install 'made-exp[onnx]', or .pt2")


def program_of(made: MADE, suffix: str, told: dict[str, Any], count: int | None = None) -> bytes:
    """A program of `made.log_prob` as a file of this ending holds it.

    It takes `x` (B, D) float32 of any B, and `labels` (B,) int64 where the model has classes, and
    gives `log_prob` (B,).

    Args:
        made: In evaluation mode, on the CPU.
        suffix: .onnx or .pt2.
        told: Plain values that the file carries as JSON, under made_exp.
        count: Orderings in the mixture; default the model's.

    Raises:
        ValueError: If the model is not of binary and categorical values alone, or the program does
            not give the same numbers.
    """
    program = LogProbProgram(made, count).eval()
    with _quiet(), torch.no_grad():
        inputs = _examples(made, _NUM_TRACED)
        rows = torch.export.Dim("rows")
        exported = torch.export.export(program, inputs, dynamic_shapes=({0: rows},) * len(inputs))
        for node in exported.graph.nodes:  # where our files are is nobody's concern
            node.meta.pop("stack_trace", None)
        write, load = {".pt2": (_pt2, _run_pt2), ".onnx": (_onnx, _run_onnx)}[suffix]
        content = write(exported, json.dumps(told))
        x, *labels = examples = _examples(made, _NUM_CHECKED)
        ours = made.log_prob(x, labels[0] if labels else None, num_orderings=count)
        theirs = load(content)(*examples)
    _compare(ours, theirs, suffix)
    return content


def _compare(ours: Tensor, theirs: Tensor, suffix: str) -> None:
    """Raise ValueError where log-probabilities (B,) of model and program are not the same."""
    difference = ((ours - theirs).abs() / (1 + ours.abs())).where(ours != theirs, 0.0).max()
    if not difference < _TOLERANCE:
        other = ".pt2" if suffix == ".onnx" else ".safetensors"
        raise ValueError(
            f"path: the {suffix} program differs from the model by {difference:g} (relative; below "
            f"{_TOLERANCE:g} is allowed), and is not written: take {other}"
        )


def _examples(made: MADE, count: int) -> tuple[Tensor, ...]:
    """Random values (count, D) of each column, and labels (count,) where there are classes."""
    source = torch.Generator().manual_seed(count)
    sizes = [variable.num_values or 2 for variable in made.groups.variables]
    x = [torch.randint(size, (count,), generator=source) for size in sizes]
    inputs = [torch.stack(x, 1).to(torch.float32)]
    if made.num_classes:
        inputs.append(torch.randint(made.num_classes, (count,), generator=source))
    return tuple(inputs)


def _pt2(program: torch.export.ExportedProgram, told: str) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={"made_exp": told})
    return file.getvalue()


def _run_pt2(content: bytes) -> Run:
    return torch.export.load(io.BytesIO(content)).module()


def _log_sigmoid(x: Tensor) -> Tensor:
    """Log sigmoid(x), both (...): the logarithm of a sigmoid, as onnx has it, is soon that of 0."""
    return -softplus(-x)


def _onnx(program: torch.export.ExportedProgram, told: str) -> bytes:
    program = program.run_decompositions({torch.ops.aten.log_sigmoid.default: _log_sigmoid})
    names = ["x", "labels"][: len(program.graph_signature.user_inputs)]
    made = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=names, output_names=["log_prob"]
    )
    assert made is not None
    for node in made.model.graph.all_nodes():  # twice as much as the program itself
        node.metadata_props.clear()
    made.model.metadata_props["made_exp"] = told
    content: bytes = made.model_proto.SerializeToString()
    return content


def _run_onnx(content: bytes) -> Run:
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        arrays = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, arrays)[0])

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say of themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
