"""Records the matrix products of a PyTorch training run, before any quantisation, as a blockdot trace.

Two lines on a training loop of one's own::

    import blockdot_record
    with blockdot_record.record("out/", steps=[0, 100], layers="*"):
        train(model, data)          # as it is

The trace is a directory as `docs/trace-format.md` describes it. The parts:

- `recorder`: hooks torch, makes GEMM operands of layers (needs torch)
- `trace`: manifest and tensor files, written atomically, read with every check (standard library)
- `safetensors`: the file layout (standard library)
- `train`: the two built-in trainings behind `python3 -m blockdot_record train`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Optional, Union

from .trace import RecordError, Trace, TraceError, cannot_import, read_trace

if TYPE_CHECKING:
    from .recorder import Recorder

__version__ = "0.1"
__all__ = ["RecordError", "Trace", "TraceError", "read_trace", "record"]

DEFAULT_MAX_ROWS = 1024
DEFAULT_MAX_BYTES = 1 << 30


def record(
    out: str,
    steps: Iterable[int] = (0,),
    layers: Union[str, Iterable[str]] = "*",
    *,
    model: str = "model",
    max_rows: int = DEFAULT_MAX_ROWS,
    first_row: int = 0,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_calls: int = 1,
    recipe: Optional[dict] = None,
) -> "Recorder":
    """A context manager that records the training run inside it into the directory `out`.

    steps: 0-based optimiser steps to record; a step ends with `optimizer.step()` (any optimiser; calls that
        follow each other with no forward pass between count once) or with `rec.step()`.
    layers: glob or globs over layer names: the module's path (`blocks.0.*`), with the operation and a counter
        for products a module makes itself (`blocks.0.attn.matmul_0`), and `linear_0` and so on outside modules.
    model: name of the run in the trace; recordings under other names in the same directory are kept.
    max_rows: rows (tokens, samples, output pixels) kept of each product, from `first_row` on; where a
        product has fewer rows after that, its last ones.
    max_bytes: of tensor data in all; products that would exceed it are left out, with a warning.
    max_calls: how many calls of one layer in one step are recorded.
    recipe: what to say in the manifest about how the run was made (`command`, `seed`, `dataset`).

    Returns a handle: `rec.step(loss)` ends a step by hand, `rec.loss(value)` states the loss, `rec.summary`.
    Raises RecordError for bad arguments, a directory that cannot be written, or when torch is missing.
    The recording never changes the run: same values, same losses.
    """
    try:
        from .recorder import Recorder
    except ImportError as error:
        raise cannot_import(error)
    return Recorder(out, steps, layers, model, max_rows, first_row, max_bytes, max_calls, recipe)
