"""The recorder: sees every product of a training run through a TorchFunctionMode and collects its operands.

How the parts meet:

- the mode sees each torch call; if it is one of `products.CALLS` in a wanted step and layer, the operands are
  copied at once (weights change in place later) and a hook on the output's graph node waits for the gradient;
- global module hooks keep a stack of the modules being run, from which a layer gets its name;
- a watch on optimisers ends a step; the mode sees `backward` too and adds up the losses;
- a finished step goes to a temporary file, and the last wanted one publishes the trace.

The hooks only look: the values and the graph of the run are those of the run without them.
"""

from __future__ import annotations

import functools
import gc
import math
import os
import re
import sys
import warnings
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterable, List, Optional, Union

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from . import safetensors, trace
from .products import CALLS, Product, Window
from .safetensors import Tensor
from .trace import RecordError

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F32"}


class _Frame:
    """A module being run, and how many products of each kind it has made itself in this call."""

    def __init__(self, module: Optional[nn.Module]):
        self.module = module
        self.counts: Dict[str, int] = {}


class _Recorded:
    """One call's product in the step being recorded: names, copies of the operands, and dY once it is known."""

    def __init__(self, layer: str, key: str, product: Product):
        self.layer = layer
        self.key = key
        self.left = _stored(product.left)
        self.right = _stored(product.right)
        self.grad: Optional[Tensor] = None
        dtype = torch.promote_types(product.left.dtype, product.right.dtype)
        self.source_dtype = str(dtype).replace("torch.", "")
        # What is still needed of the product; its tensors are let go.
        self.weights = product.weights
        self.kept = product.kept
        self.grad_of_output = product.grad
        self.left_has_grad = product.left_has_grad
        self.right_has_grad = product.right_has_grad
        self.full = product.full
        self.batch = product.batch


class Recorder:
    """See `blockdot_record.record`, which makes one."""

    def __init__(
        self,
        out: str,
        steps: Iterable[int],
        layers: Union[str, Iterable[str]],
        model: str,
        max_rows: int,
        first_row: int,
        max_bytes: int,
        max_calls: int,
        recipe: Optional[dict],
    ):
        self._out = os.fspath(out)
        self._steps = sorted(set(steps))
        self._layers = [layers] if isinstance(layers, str) else list(layers)
        self._model = model
        self._window = Window(first_row, max_rows)
        self._max_bytes = max_bytes
        self._max_calls = max_calls
        self._recipe = dict(recipe or {})
        _check_arguments(
            self._steps, self._layers, model, max_rows, first_row, max_bytes, max_calls
        )

        self._step = 0
        self._step_ended = False
        self._steps_by_hand = False
        self._loss: Optional[float] = None
        self._loss_stated = False
        self._stack: List[_Frame] = []
        self._outside = _Frame(None)
        self._names = _ModuleNames()
        self._calls: Dict[str, int] = {}
        self._pending: List[_Recorded] = []
        self._seen_layers: Dict[str, None] = {}
        self._bytes = 0
        self._left_out: List[str] = []
        self._gemms: List[dict] = []
        self._files: Dict[str, str] = {}
        self._published = False
        self._active = False

    # ---- The user's handle ----

    def __enter__(self) -> "Recorder":
        trace.prepare_directory(self._out)
        self._mode = _Mode(self)
        self._handles = [
            register_module_forward_pre_hook(self._module_begins),
            register_module_forward_hook(self._module_ends),
        ]
        self._watch = _OptimizerWatch(self._optimizer_stepped)
        self._active = True
        self._mode.__enter__()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._active = False
        self._mode.__exit__(kind, error, traceback)
        self._watch.remove()
        for handle in self._handles:
            handle.remove()
        if kind is not None:
            self._discard()
            return
        if not self._published:
            self._end_step()
            self._publish()

    def step(self, loss=None) -> None:
        """Ends the current step by hand, for loops without a torch optimiser; from then on only this ends steps."""
        if loss is not None:
            self._loss = float(loss)
        self._steps_by_hand = True
        self._step_ended = True
        self._begin_step_if_due()

    def loss(self, value) -> None:
        """States the loss of the current step, for losses that are scaled or whose `backward` is not called."""
        self._loss = float(value)
        self._loss_stated = True

    @property
    def published(self) -> bool:
        """Whether the trace is on disk: from the first forward pass after the last step, if anything was recorded."""
        return self._published and bool(self._gemms)

    @property
    def summary(self) -> str:
        """What was recorded, in one line."""
        layers = len({(gemm["step"], gemm["name"].rsplit("/", 1)[0]) for gemm in self._gemms})
        macs = sum(gemm["M"] * gemm["N"] * gemm["K"] for gemm in self._gemms)
        steps = sorted({gemm["step"] for gemm in self._gemms})
        return (
            f"{len(self._gemms)} GEMMs of {layers} layer calls at steps {steps}, "
            f"{macs / 1e6:.1f} M multiply-adds, {self._bytes / 1e6:.2f} MB in {self._out}"
        )

    # ---- What the hooks call ----

    def _module_begins(self, module: nn.Module, inputs) -> None:
        if not self._stack:
            self._begin_step_if_due()
            self._names.add_root(module)
        self._stack.append(_Frame(module))

    def _module_ends(self, module: nn.Module, inputs, output) -> None:
        # A module that raised left its frame behind; drop it together with the one that ends now.
        while self._stack and self._stack.pop().module is not module:
            pass

    def _optimizer_stepped(self) -> None:
        if not self._steps_by_hand:
            self._step_ended = True

    def _call(self, func, args: tuple, kwargs: dict):
        """A call of one of CALLS: makes it, and records its products if they are wanted."""
        self._begin_step_if_due()
        result = func(*args, **kwargs)
        if self._recording() and torch.is_grad_enabled():
            call = CALLS[func]
            layer = self._layer_name(call.op)
            output = result[0] if isinstance(result, tuple) else result
            products = call.products(self._window, args, kwargs)
            with torch.no_grad():
                recorded = [self._record(layer + product.suffix, product) for product in products]
            self._wait_for_gradient(output, [entry for entry in recorded if entry is not None])
        return result

    def _backward(self, loss, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Tensor.backward with the mode on, so that recomputed forward passes (checkpointing) are seen."""
        self._begin_step_if_due()
        self._stack.clear()
        if self._recording() and loss.numel() == 1 and not self._loss_stated:
            self._loss = (self._loss or 0.0) + float(loss.detach())
        with self._mode:
            torch.autograd.backward(loss, gradient, retain_graph, create_graph, inputs=inputs)

    # ---- One step ----

    def _recording(self) -> bool:
        return self._active and not self._published and self._step in self._steps

    def _begin_step_if_due(self) -> None:
        """After a step has ended, the next thing that happens belongs to the following one."""
        if self._step_ended and self._active:
            self._end_step()
            self._step_ended = False
            self._step += 1
            if not self._published and self._step > self._steps[-1]:
                self._publish()

    def _end_step(self) -> None:
        """Writes what the step holds to a temporary file and starts with nothing."""
        if self._pending:
            name = f"{self._model}-step{self._step:04d}.safetensors"
            tensors: Dict[str, Tensor] = {}
            for recorded in self._pending:
                self._gemms += self._gemms_of(recorded, name, tensors)
            content = safetensors.encode(tensors, {"model": self._model, "step": str(self._step)})
            self._files[name] = trace.write_temporary(self._out, name, content)
        self._pending = []
        self._calls = {}
        self._outside = _Frame(None)
        self._loss = None
        self._loss_stated = False

    def _gemms_of(self, recorded: _Recorded, file: str, tensors: Dict[str, Tensor]) -> List[dict]:
        """The manifest's entries of one product, in the order of roles; its tensors go into `tensors`."""
        left, right, grad = ("x", "w", "dy") if recorded.weights else ("a", "b", "dc")
        prefix = f"step{self._step:04d}/{recorded.key}"
        held = {left: recorded.left, right: recorded.right}
        if recorded.grad is not None:
            held[grad] = recorded.grad
        tensors.update({f"{prefix}/{short}": tensor for short, tensor in held.items()})

        full_m, full_n, full_k = recorded.full
        # Role: A, transposed?, B, transposed?, and which of the full sizes are M, N and K.
        roles = {"fprop": (left, False, right, recorded.weights, (full_m, full_n, full_k))}
        if recorded.grad is not None and recorded.left_has_grad:
            roles["dgrad"] = (grad, False, right, not recorded.weights, (full_m, full_k, full_n))
        if recorded.grad is not None and recorded.right_has_grad:
            if recorded.weights:
                roles["wgrad"] = (grad, True, left, False, (full_n, full_k, full_m))
            else:
                roles["wgrad"] = (left, True, grad, False, (full_k, full_n, full_m))

        gemms = []
        for role, (a, a_transposed, b, b_transposed, full) in roles.items():
            m, k = held[a].shape[::-1] if a_transposed else held[a].shape
            n = held[b].shape[0] if b_transposed else held[b].shape[1]
            gemm: Dict[str, object] = {
                "name": f"{self._model}/{prefix}/{role}",
                "model": self._model,
                "step": self._step,
                "layer": recorded.layer,
                "role": role,
                "M": m,
                "N": n,
                "K": k,
                "a": trace.operand_ref(file, f"{prefix}/{a}", held[a], a_transposed),
                "b": trace.operand_ref(file, f"{prefix}/{b}", held[b], b_transposed),
                "block_axis": "k",
                "source_dtype": recorded.source_dtype,
            }
            kept = recorded.kept
            if kept.stop - kept.start < full_m or recorded.batch:
                whole: Dict[str, object] = dict(zip("MNK", full))
                part: Dict[str, object] = {"rows": [kept.start, kept.stop], "full": whole}
                if recorded.batch:
                    part["batch"] = [0] * len(recorded.batch)
                    whole["batch"] = list(recorded.batch)
                gemm["slice"] = part
            gemm["loss"] = (
                self._loss if self._loss is not None and math.isfinite(self._loss) else None
            )
            gemms.append(gemm)
        return gemms

    # ---- One product ----

    def _record(self, layer: str, product: Product) -> Optional[_Recorded]:
        self._seen_layers[layer] = None
        if not any(fnmatchcase(layer, pattern) for pattern in self._layers):
            return None
        if (
            not {product.left.dtype, product.right.dtype} <= set(DTYPES)
            or 0 in product.left.shape + product.right.shape
        ):
            return None
        call = self._calls[layer] = self._calls.get(layer, -1) + 1
        if call >= self._max_calls:
            return None
        key = layer if call == 0 else f"{layer}@{call}"
        outputs = product.full[1]
        size = sum(
            t.numel() * safetensors.DTYPE_BYTES[DTYPES[t.dtype]]
            for t in (product.left, product.right)
        )
        size += (
            product.left.shape[0] * outputs * safetensors.DTYPE_BYTES[DTYPES[product.left.dtype]]
        )
        if self._bytes + size > self._max_bytes:
            self._left_out.append(f"step {self._step} {key}")
            return None
        self._bytes += size
        recorded = _Recorded(layer, key, product)
        self._pending.append(recorded)
        return recorded

    def _wait_for_gradient(self, output: torch.Tensor, recorded: List[_Recorded]) -> None:
        """Takes dY when backward passes the output's graph node.

        The node and not the tensor: hooks of the user on the tensor may change the gradient, and the node has what
        the backward products are made of. An in-place operation on the output does not matter to its node.
        """
        node = output.grad_fn
        if node is None or not recorded:
            return
        index = output.output_nr

        def arrived(grad_inputs, grad_outputs) -> None:
            grad = grad_outputs[index]
            if grad is not None:
                with torch.no_grad():
                    for entry in recorded:
                        if entry.grad is None:
                            entry.grad = _stored(entry.grad_of_output(grad))

        node.register_hook(arrived)

    def _layer_name(self, op: str) -> str:
        """The module's path where the product is what the module is for; else the path, the operation and a counter."""
        frame = self._stack[-1] if self._stack else self._outside
        path = ""
        if frame.module is not None:
            path = self._names.name(frame.module)
            if isinstance(frame.module, nn.Linear if op == "linear" else nn.modules.conv._ConvNd):
                return path
        count = frame.counts[op] = frame.counts.get(op, -1) + 1
        return f"{path}.{op}_{count}" if path else f"{op}_{count}"

    # ---- The end ----

    def _publish(self) -> None:
        self._published = True
        if not self._gemms:
            seen = ", ".join(self._seen_layers) or "none"
            warnings.warn(
                f"blockdot_record: nothing recorded: the run made {self._step} step(s), steps {self._steps} and "
                f"layers {self._layers} were asked for; layers seen in these steps: {seen}"
            )
            return
        missing = [
            step for step in self._steps if step not in {gemm["step"] for gemm in self._gemms}
        ]
        if missing:
            warnings.warn(
                f"blockdot_record: nothing to record at steps {missing} (the run ended at step {self._step})"
            )
        recipe = {
            "command": self._recipe.pop("command", "blockdot_record.record"),
            "seed": self._recipe.pop("seed", None),
            "torch": torch.__version__.split("+")[0],
            "dataset": self._recipe.pop("dataset", None),
            "steps": [step for step in self._steps if step not in missing],
            "layers": self._layers,
            "max_rows": self._window.rows,
            "first_row": self._window.first,
            **self._recipe,
        }
        if self._left_out:
            recipe["left_out"] = self._left_out
            warnings.warn(
                f"blockdot_record: {len(self._left_out)} products left out, first {self._left_out[0]}: "
                f"max_bytes={self._max_bytes} is full; use fewer layers or rows"
            )
        from . import __version__

        trace.publish(
            self._out,
            f"blockdot_record {__version__}",
            self._model,
            recipe,
            self._gemms,
            self._files,
        )

    def _discard(self) -> None:
        """The run failed: nothing of an unpublished recording stays."""
        if not self._published:
            for path in self._files.values():
                os.unlink(path)


class _Mode(TorchFunctionMode):
    """Sends the calls that matter to the recorder; everything else goes straight on."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in CALLS:
            return self._recorder._call(func, args, kwargs)
        if func is torch.Tensor.backward:
            return self._recorder._backward(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with _seen_through(F), self:
                return func(*args, **kwargs)
        return func(*args, **kwargs)


@contextmanager
def _seen_through(module: Any):
    """Makes a composite function in torch.nn.functional run its body under the mode, not come back to the mode."""
    original = module.has_torch_function
    module.has_torch_function = lambda arguments: False
    try:
        yield
    finally:
        module.has_torch_function = original


class _ModuleNames:
    """Names of modules by their path in the outermost module that was called, unique over all of these."""

    def __init__(self) -> None:
        self._roots: List[nn.Module] = []
        self._names: Dict[int, str] = {}
        self._taken: Dict[str, nn.Module] = {}

    def add_root(self, root: nn.Module) -> None:
        """Names all modules in `root`, unless it is known already."""
        if id(root) not in self._names:
            self._roots.append(root)
            self._add(root)

    def _add(self, root: nn.Module) -> None:
        kind = type(root).__name__.lower()
        unnamed = [(p or kind, m) for p, m in root.named_modules() if id(m) not in self._names]
        prefix, count = "", 1
        while any(prefix + path in self._taken for path, _ in unnamed):
            prefix = f"{kind}." if count == 1 else f"{kind}_{count}."
            count += 1
        for path, module in unnamed:
            self._names[id(module)] = prefix + path
            # Holding the module keeps its id from being given to another one.
            self._taken[prefix + path] = module

    def name(self, module: nn.Module) -> str:
        """The name of `module`; one that was added to its root since gets its name now."""
        if id(module) not in self._names:
            for root in self._roots:
                self._add(root)
        if id(module) not in self._names:
            self.add_root(module)
        return self._names[id(module)]


class _OptimizerWatch:
    """Calls `stepped` after each step of any optimiser, by wrapping the `step` of their classes.

    A learning-rate scheduler puts a `step` of its own on the instance that calls the class's old one, so such
    instances are wrapped too. Saying it twice does no harm: a step begins with the next forward pass.
    """

    def __init__(self, stepped) -> None:
        self._stepped = stepped
        self._wrapped: list = []
        base: Any = torch.optim.Optimizer
        for cls in _subclasses(base):
            self._wrap(cls)
        for instance in gc.get_objects():
            if issubclass(type(instance), base) and "step" in vars(instance):
                self._wrap(instance)
        init = base.__init__

        @functools.wraps(init)
        def init_and_wrap(optimizer, *args, **kwargs):
            init(optimizer, *args, **kwargs)
            for cls in type(optimizer).__mro__[:-1]:
                if issubclass(cls, base):
                    self._wrap(cls)

        self._wrapped.append((base, "__init__", init, init_and_wrap))
        base.__init__ = init_and_wrap

    def _wrap(self, owner) -> None:
        original = vars(owner).get("step")
        if (
            original is None
            or owner is torch.optim.Optimizer
            or any(owner is entry[0] for entry in self._wrapped)
        ):
            return

        @functools.wraps(original)
        def step(*args, **kwargs):
            result = original(*args, **kwargs)
            self._stepped()
            return result

        self._wrapped.append((owner, "step", original, step))
        setattr(owner, "step", step)

    def remove(self) -> None:
        """Puts the originals back, except where somebody else has wrapped ours since: that one stays, and is silent."""
        self._stepped = lambda: None
        for owner, name, original, ours in reversed(self._wrapped):
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)


def _subclasses(cls: type) -> List[type]:
    found: Dict[type, None] = {}
    for child in cls.__subclasses__():
        found[child] = None
        found.update(dict.fromkeys(_subclasses(child)))
    return list(found)


def _stored(tensor: torch.Tensor) -> Tensor:
    """A copy of the values as raw little-endian bytes; float64 becomes float32."""
    values = tensor.detach().to("cpu")
    dtype = DTYPES[values.dtype]
    if values.dtype == torch.float64:
        values = values.to(torch.float32)
    values = values.contiguous()
    array = (values.view(torch.int16) if dtype == "BF16" else values).numpy()
    if sys.byteorder == "big":
        array = array.byteswap()
    return Tensor(dtype, list(values.shape), array.tobytes())


def _check_arguments(steps, layers, model, max_rows, first_row, max_bytes, max_calls) -> None:
    if not steps or any(not isinstance(step, int) or step < 0 for step in steps):
        raise RecordError(f"steps = {steps}: must be one or more integers >= 0")
    if not layers or any(not isinstance(pattern, str) for pattern in layers):
        raise RecordError(
            f"layers = {layers}: must be one or more patterns such as '*' or 'blocks.0.*'"
        )
    if not isinstance(model, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", model):
        raise RecordError(f"model = {model!r}: must be letters, digits, '_', '.' or '-'")
    for name, value in (("max_rows", max_rows), ("max_bytes", max_bytes), ("max_calls", max_calls)):
        if not isinstance(value, int) or value < 1:
            raise RecordError(f"{name} = {value!r}: must be an integer >= 1")
    if not isinstance(first_row, int) or first_row < 0:
        raise RecordError(f"first_row = {first_row!r}: must be an integer >= 0")
