"""From a call of a torch function to the matrix products in it, and to their operands.

Each `*_products` function looks at one call that was made, with its arguments, and returns `Product`s: the left
operand (rows first), the right operand, and how to get the gradient of the product from the gradient of the
call's output. Nothing here changes a tensor or the graph; all of it runs without gradients.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Window(NamedTuple):
    """Which rows to keep of a product: `rows` from `first`, moved forward where there are not as many."""

    first: int
    rows: int

    def of(self, total: int) -> slice:
        """The rows kept of `total`."""
        first = max(0, min(self.first, total - self.rows))
        return slice(first, min(total, first + self.rows))


@dataclass
class Product:
    """C[M,N] = left[M,K] . right[K,N], of which some rows are kept.

    weights: `right` is a weight, given as it is stored, [N,K], and its gradient is wanted in that shape too.
    left: [rows,K], the rows `kept` of M. grad: from the gradient of the call's output to that of C, [rows,N].
    full: M, N, K of the whole product. batch: shape of the batch this product is the first element of, or ().
    """

    suffix: str
    weights: bool
    left: Tensor
    kept: slice
    right: Tensor
    grad: Callable[[Tensor], Tensor]
    left_has_grad: bool
    right_has_grad: bool
    full: Tuple[int, int, int]
    batch: Tuple[int, ...] = ()


def linear_products(
    window: Window, input: Tensor, weight: Tensor, bias: Optional[Tensor] = None
) -> List[Product]:
    """Y = X W^T + b with X [..., I], W [O, I]; all leading dimensions are rows."""
    outputs, inputs = weight.shape[-2:] if weight.dim() > 1 else (1, weight.shape[0])
    left = input.reshape(-1, inputs)
    rows = window.of(left.shape[0])
    return [
        Product(
            suffix="",
            weights=True,
            left=left[rows],
            kept=rows,
            right=weight.reshape(outputs, inputs),
            grad=lambda dy: dy.reshape(-1, outputs)[rows],
            left_has_grad=input.requires_grad,
            right_has_grad=weight.requires_grad,
            full=(left.shape[0], outputs, inputs),
        )
    ]


def matmul_products(window: Window, left: Tensor, right: Tensor, alpha: float = 1) -> List[Product]:
    """C = alpha A B: vectors, matrices and batches with broadcasting, as torch.matmul has them.

    With a 2-D right operand all leading dimensions of the left one are rows; else the first element of the batch
    is taken. A vector counts as a matrix of one row or column.
    """
    a = left.unsqueeze(0) if left.dim() == 1 else left
    b = right.unsqueeze(1) if right.dim() == 1 else right
    k, n = b.shape[-2:]
    batch: Tuple[int, ...] = ()
    if b.dim() == 2:
        a = a.reshape(-1, k)
    else:
        batch = tuple(torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
        a = a[(0,) * (a.dim() - 2)]
        b = b[(0,) * (b.dim() - 2)]
    m = a.shape[0]
    rows = window.of(m)
    return [
        Product(
            suffix="",
            weights=False,
            left=a[rows],
            kept=rows,
            right=b,
            grad=lambda dy: dy.reshape(-1, m, n)[0, rows] * alpha,
            left_has_grad=left.requires_grad,
            right_has_grad=right.requires_grad,
            full=(m, n, k),
            batch=batch,
        )
    ]


def addmm_products(
    window: Window, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> List[Product]:
    """beta*C0 + alpha*(A B): the product in addmm."""
    return matmul_products(window, mat1, mat2, alpha)


def baddbmm_products(
    window: Window,
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> List[Product]:
    """The same in baddbmm."""
    return matmul_products(window, batch1, batch2, alpha)


def im2col(image: Tensor, kernel: Sequence[int], stride, padding, dilation) -> Tensor:
    """[B,C,*size] -> [B * output positions, C * kernel positions], any number of spatial dimensions.

    Columns are channel-major as in torch.nn.functional.unfold. stride and dilation: int or one for each
    dimension; padding: the same, or 'same' or 'valid'.
    """
    dims = len(kernel)
    stride, dilation = _each(stride, dims), _each(dilation, dims)
    if padding == "valid":
        before = after = (0,) * dims
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        before = tuple(t // 2 for t in total)
        after = tuple(t - b for t, b in zip(total, before))
    else:
        before = after = _each(padding, dims)
    pads: List[int] = []
    for b, a in zip(reversed(before), reversed(after)):
        pads += [b, a]
    padded = F.pad(image, pads).contiguous()
    steps = list(padded.stride())
    extents = [
        (padded.shape[2 + d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1
        for d in range(dims)
    ]
    windows = padded.as_strided(
        (padded.shape[0], *extents, padded.shape[1], *kernel),
        (
            steps[0],
            *(steps[2 + d] * stride[d] for d in range(dims)),
            steps[1],
            *(steps[2 + d] * dilation[d] for d in range(dims)),
        ),
    )
    return windows.reshape(
        padded.shape[0] * math.prod(extents), padded.shape[1] * math.prod(kernel)
    )


def conv_products(
    window: Window,
    input: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride=1,
    padding=0,
    dilation=1,
    groups: int = 1,
) -> List[Product]:
    """A convolution of one to three dimensions as a product after im2col: a row for each output position.

    Of a grouped convolution the first group is taken; the groups are its batch.
    """
    kernel = weight.shape[2:]
    batched = input if input.dim() == weight.dim() else input.unsqueeze(0)
    samples = batched.shape[0]
    outputs = weight.shape[0] // groups
    # im2col of one sample tells how many positions each has, and so which samples give the wanted rows.
    group = batched[:, : weight.shape[1]]
    positions = im2col(group[:1, :1], kernel, stride, padding, dilation).shape[0]
    rows = window.of(samples * positions)
    used = slice(rows.start // positions, -(-rows.stop // positions))
    within = slice(rows.start - used.start * positions, rows.stop - used.start * positions)
    left = im2col(group[used], kernel, stride, padding, dilation)

    def grad(dy: Tensor) -> Tensor:
        dy = dy if dy.dim() == weight.dim() else dy.unsqueeze(0)
        positions_first = dy[used, :outputs].flatten(2).transpose(1, 2)
        return positions_first.reshape(-1, outputs)[within]

    return [
        Product(
            suffix="",
            weights=True,
            left=left[within],
            kept=rows,
            right=weight[:outputs].reshape(outputs, -1),
            grad=grad,
            left_has_grad=input.requires_grad,
            right_has_grad=weight.requires_grad,
            full=(samples * positions, outputs, left.shape[1]),
            batch=(groups,) if groups > 1 else (),
        )
    ]


def attention_products(
    window: Window,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Optional[Tensor] = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
) -> List[Product]:
    """The two products inside fused attention: scores Q.K^T and context P.V, of the first sample and head.

    The fused kernel keeps neither the probabilities P nor their gradient, so both are computed here again from
    the recorded rows: P = softmax(s Q.K^T + mask), dP = dO.V^T, dS = P * (dP - rowsum(dP * P)). Dropout inside
    the kernel cannot be seen and is left out.
    """
    first = (0,) * (query.dim() - 2)
    length, keys = query.shape[-2], key.shape[-2]
    rows = window.of(length)
    q, k, v = query[first][rows], key[first], value[first]
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (q.float() @ k.float().t()) * factor
    if is_causal:
        attn_mask = torch.ones(length, keys, dtype=torch.bool, device=q.device).tril()
    if attn_mask is not None:
        mask = attn_mask.expand(*query.shape[:-2], length, keys)[first][rows]
        logits = (
            logits.masked_fill(~mask, -math.inf)
            if mask.dtype == torch.bool
            else logits + mask.float()
        )
    probabilities = torch.softmax(logits, dim=-1)

    def grad_context(d_output: Tensor) -> Tensor:
        return d_output[first][rows]

    def grad_scores(d_output: Tensor) -> Tensor:
        d_prob = grad_context(d_output).float() @ v.float().t()
        d_logits = probabilities * (d_prob - (d_prob * probabilities).sum(-1, keepdim=True))
        return (d_logits * factor).to(query.dtype)

    batch = tuple(query.shape[:-2])
    reaches_scores = query.requires_grad or key.requires_grad
    return [
        Product(
            suffix=".scores",
            weights=False,
            left=q,
            kept=rows,
            right=k.t(),
            grad=grad_scores,
            left_has_grad=query.requires_grad,
            right_has_grad=key.requires_grad,
            full=(length, keys, query.shape[-1]),
            batch=batch,
        ),
        Product(
            suffix=".context",
            weights=False,
            left=probabilities.to(query.dtype),
            kept=rows,
            right=v,
            grad=grad_context,
            left_has_grad=reaches_scores,
            right_has_grad=value.requires_grad,
            full=(length, value.shape[-1], keys),
            batch=batch,
        ),
    ]


def attention_1_13_products(
    window: Window,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Optional[Tensor] = None,
    dropout_p: float = 0.0,
    need_attn_weights: bool = True,
    is_causal: bool = False,
) -> List[Product]:
    """The same with the arguments of torch 1.13's private form, which returns (output, weights)."""
    return attention_products(window, query, key, value, attn_mask, dropout_p, is_causal)


class Call:
    """A torch function whose products are recorded: its short name and how its arguments become products."""

    def __init__(self, op: str, products: Callable[..., List[Product]], swapped: bool = False):
        self.op = op
        self._products = products
        self._swapped = swapped
        self._renames = _names_of(products)

    def products(self, window: Window, args: tuple, kwargs: dict) -> List[Product]:
        """The call's products, with the window's rows of each."""
        if self._swapped:
            args = args[1::-1]
        kwargs = {
            self._renames.get(name, name): value for name, value in kwargs.items() if name != "out"
        }
        with torch.no_grad():
            return self._products(window, *args, **kwargs)


def _names_of(products: Callable) -> Dict[str, str]:
    """Torch calls the operands of mm, bmm and matmul differently; here they are left and right."""
    if "left" not in inspect.signature(products).parameters:
        return {}
    return {"input": "left", "other": "right", "mat2": "right", "tensor2": "right"}


def _each(value, dims: int) -> tuple:
    """An int or a sequence, as a tuple of one value for each dimension."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def _table() -> Dict[object, Call]:
    table: Dict[object, Call] = {F.linear: Call("linear", linear_products)}
    matmul = Call("matmul", matmul_products)
    for function in (
        torch.matmul,
        torch.Tensor.matmul,
        torch.Tensor.__matmul__,
        torch.linalg.matmul,
    ):
        table[function] = matmul
    table[torch.Tensor.__rmatmul__] = Call("matmul", matmul_products, swapped=True)
    for name in ("mm", "bmm"):
        table[getattr(torch, name)] = table[getattr(torch.Tensor, name)] = Call(
            name, matmul_products
        )
    for name, products in (("addmm", addmm_products), ("baddbmm", baddbmm_products)):
        table[getattr(torch, name)] = table[getattr(torch.Tensor, name)] = Call(name, products)
    for name in ("conv1d", "conv2d", "conv3d"):
        table[getattr(torch, name)] = Call(name, conv_products)
    if hasattr(F, "scaled_dot_product_attention"):
        table[F.scaled_dot_product_attention] = Call("attention", attention_products)
    elif hasattr(F, "_scaled_dot_product_attention"):
        table[F._scaled_dot_product_attention] = Call("attention", attention_1_13_products)
    return table


# Function -> Call, for every torch function that is recorded.
CALLS = _table()
