"""The recorder against torch's autograd: products of recorded operands are the layer's output and gradients."""

import gc
import math
import pathlib
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from blockdot_record import RecordError, read_trace, record

ROOT = pathlib.Path(__file__).resolve().parents[2]


def products(directory):
    """(layer, role) -> op(A) . op(B) in float64, of a trace with one step."""
    trace = read_trace(str(directory))
    result = {}
    for gemm in trace.gemms:
        a, b = trace.operands(gemm)
        result[gemm["layer"], gemm["role"]] = a.astype(np.float64) @ b.astype(np.float64)
    assert result, "nothing was recorded"
    return result


def close(actual, expected, tolerance=1e-5):
    """Equal within `tolerance` of the largest magnitude: float32 sums in another order."""
    expected = expected.detach().double().numpy() if torch.is_tensor(expected) else expected
    assert actual.shape == tuple(expected.shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def backward(output):
    """Calls backward with a gradient that differs everywhere."""
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float32).reshape(output.shape)
    (output * weights.to(output.dtype)).sum().backward()


def leaf(*shape, dtype=torch.float32, seed=0):
    """A random tensor that wants a gradient."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random numbers and may not warn."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ---- Products against autograd ----


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (7,)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_products_equal_output_and_gradients(tmp_path, shape, bias):
    layer = nn.Linear(7, 4, bias=bias)
    x = leaf(*shape)
    with record(tmp_path):
        y = layer(x)
        backward(y)
    got = products(tmp_path)
    offset = layer.bias.detach() if bias else 0
    close(got["linear", "fprop"], (y.detach() - offset).reshape(-1, 4))
    close(got["linear", "dgrad"], x.grad.reshape(-1, 7))
    close(got["linear", "wgrad"], layer.weight.grad)


CONVOLUTIONS = [
    dict(),
    dict(stride=2, padding=1),
    dict(stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
    dict(padding="same", dilation=2),
    dict(padding="valid"),
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_conv2d_products_equal_output_and_gradients(tmp_path, options):
    layer = nn.Conv2d(3, 5, (3, 2), **options)
    x = leaf(2, 3, 9, 8)
    with record(tmp_path):
        y = layer(x)
        backward(y)
    got = products(tmp_path)
    rows = (y.detach() - layer.bias.detach()[:, None, None]).permute(0, 2, 3, 1).reshape(-1, 5)
    close(got["conv2d", "fprop"], rows)
    close(got["conv2d", "wgrad"], layer.weight.grad.reshape(5, -1))
    # dgrad is the gradient of the unfolded input: torch's fold must bring it back to the image.
    padding = options.get("padding", 0)
    columns = torch.from_numpy(got["conv2d", "dgrad"]).reshape(2, -1, 18).transpose(1, 2)
    dilation = options.get("dilation", 1)
    if padding == "same":
        # 4 and 2 in all: symmetric, as torch splits them.
        padding = (2, 1)
    elif padding == "valid":
        padding = 0
    folded = F.fold(columns, (9, 8), (3, 2), dilation, padding, options.get("stride", 1))
    close(folded.numpy(), x.grad)


def test_asymmetric_same_padding_puts_the_odd_row_behind(tmp_path):
    layer = nn.Conv2d(2, 3, 2, padding="same", bias=False)
    x = leaf(1, 2, 5, 5)
    with record(tmp_path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it pads a copy
        y = layer(x)
        backward(y)
    got = products(tmp_path)
    close(got["conv2d", "fprop"], y.detach().permute(0, 2, 3, 1).reshape(-1, 3))
    close(got["conv2d", "wgrad"], layer.weight.grad.reshape(3, -1))


def test_grouped_convolution_records_its_first_group(tmp_path):
    layer = nn.Conv2d(4, 6, 3, groups=2, bias=False)
    x = leaf(2, 4, 5, 5)
    with record(tmp_path):
        y = layer(x)
        backward(y)
    got = products(tmp_path)
    close(got["conv2d", "fprop"], y.detach()[:, :3].permute(0, 2, 3, 1).reshape(-1, 3))
    close(got["conv2d", "wgrad"], layer.weight.grad[:3].reshape(3, -1))
    part = read_trace(str(tmp_path)).gemms[0]["slice"]
    assert (part["batch"], part["full"]["batch"]) == ([0], [2])


@pytest.mark.parametrize("dims,kind", [(1, nn.Conv1d), (3, nn.Conv3d)])
def test_conv1d_and_conv3d_products_equal_output_and_weight_gradient(tmp_path, dims, kind):
    layer = kind(2, 3, 2, stride=2, padding=1, bias=False)
    x = leaf(2, 2, *(5, 4, 6)[:dims])
    with record(tmp_path):
        y = layer(x)
        backward(y)
    got = products(tmp_path)
    name = f"conv{dims}d"
    close(got[name, "fprop"], y.detach().flatten(2).transpose(1, 2).reshape(-1, 3))
    close(got[name, "wgrad"], layer.weight.grad.reshape(3, -1))


def test_convolution_of_one_sample_without_batch(tmp_path):
    layer = nn.Conv2d(2, 3, 3, bias=False)
    x = leaf(2, 6, 6)
    with record(tmp_path):
        y = layer(x)
        backward(y)
    got = products(tmp_path)
    close(got["conv2d", "fprop"], y.detach().permute(1, 2, 0).reshape(-1, 3))
    close(got["conv2d", "wgrad"], layer.weight.grad.reshape(3, -1))


MATRIX_CALLS = {
    "matmul": lambda a, b: torch.matmul(a, b),
    "operator": lambda a, b: a @ b,
    "method": lambda a, b: a.matmul(b),
    "mm": lambda a, b: torch.mm(a, b),
    "keywords": lambda a, b: torch.mm(input=a, mat2=b),
    "mm method": lambda a, b: a.mm(b),
    "rmatmul": lambda a, b: b.__rmatmul__(a),
    "addmm": lambda a, b: torch.addmm(torch.zeros(5, 3), a, b),
    "transposed": lambda a, b: torch.matmul(b.t(), a.t()).t(),
}


@pytest.mark.parametrize("call", MATRIX_CALLS)
def test_matrix_product_equals_output_and_gradients(tmp_path, call):
    a, b = leaf(5, 7), leaf(7, 3)
    with record(tmp_path):
        c = MATRIX_CALLS[call](a, b)
        backward(c)
    got = {role: product for (_, role), product in products(tmp_path).items()}
    if call == "transposed":
        close(got["fprop"], c.detach().t())
        close(got["dgrad"], b.grad.t())
        close(got["wgrad"], a.grad.t())
    else:
        close(got["fprop"], c)
        close(got["dgrad"], a.grad)
        close(got["wgrad"], b.grad)


def test_alpha_of_addmm_belongs_to_the_gradient(tmp_path):
    a, b = leaf(5, 7), leaf(7, 3)
    with record(tmp_path):
        backward(torch.addmm(torch.ones(5, 3), a, b, beta=2, alpha=0.5))
    got = products(tmp_path)
    close(got["addmm_0", "fprop"], (a @ b))
    close(got["addmm_0", "dgrad"], a.grad)
    close(got["addmm_0", "wgrad"], b.grad)


BATCHES = {
    "bmm": (lambda a, b: torch.bmm(a, b), (4, 5, 7), (4, 7, 3)),
    "baddbmm": (lambda a, b: torch.baddbmm(torch.zeros(4, 5, 3), a, b), (4, 5, 7), (4, 7, 3)),
    "matmul 4-D": (lambda a, b: a @ b, (2, 4, 5, 7), (2, 4, 7, 3)),
}


@pytest.mark.parametrize("call", BATCHES)
def test_batched_product_records_its_first_element(tmp_path, call):
    function, left, right = BATCHES[call]
    a, b = leaf(*left), leaf(*right)
    with record(tmp_path):
        c = function(a, b)
        backward(c)
    got = {role: product for (_, role), product in products(tmp_path).items()}
    first = (0,) * (len(left) - 2)
    close(got["fprop"], c[first])
    close(got["dgrad"], a.grad[first])
    close(got["wgrad"], b.grad[first])
    gemm = read_trace(str(tmp_path)).gemms[0]
    assert gemm["slice"]["batch"] == list(first)
    assert gemm["slice"]["full"] == {"M": 5, "N": 3, "K": 7, "batch": list(left[:-2])}


def test_batch_times_matrix_has_all_rows(tmp_path):
    a, b = leaf(2, 5, 7), leaf(7, 3)
    with record(tmp_path):
        c = a @ b
        backward(c)
    got = products(tmp_path)
    close(got["matmul_0", "fprop"], c.reshape(10, 3))
    close(got["matmul_0", "dgrad"], a.grad.reshape(10, 7))
    close(got["matmul_0", "wgrad"], b.grad)


@pytest.mark.parametrize(
    "left,right", [((7,), (7, 3)), ((5, 7), (7,)), ((7,), (7,)), ((4, 5, 7), (7,))]
)
def test_vectors_are_matrices_of_one_row_or_column(tmp_path, left, right):
    a, b = leaf(*left), leaf(*right)
    with record(tmp_path):
        c = a @ b
        backward(c) if c.dim() else c.backward()
    got = products(tmp_path)
    columns = right[1] if len(right) == 2 else 1
    close(got["matmul_0", "fprop"], c.reshape(-1, columns))
    close(got["matmul_0", "dgrad"], a.grad.reshape(-1, 7))
    close(got["matmul_0", "wgrad"], b.grad.reshape(7, columns))


def test_bfloat16_operands_are_stored_bit_for_bit(tmp_path):
    layer = nn.Linear(32, 4).bfloat16()
    x = leaf(6, 32, dtype=torch.bfloat16)
    with record(tmp_path):
        y = layer(x)
        backward(y)
    trace = read_trace(str(tmp_path))
    assert {gemm["a"]["dtype"] for gemm in trace.gemms} == {"BF16"}
    assert {gemm["source_dtype"] for gemm in trace.gemms} == {"bfloat16"}
    a, b = trace.operands(trace.gemms[0])
    np.testing.assert_array_equal(a, x.detach().float().numpy())
    np.testing.assert_array_equal(b, layer.weight.detach().float().numpy().T)
    got = products(tmp_path)
    close(got["linear", "fprop"], y.detach() - layer.bias.detach(), tolerance=2**-6)
    close(got["linear", "dgrad"], x.grad, tolerance=2**-7)
    close(got["linear", "wgrad"], layer.weight.grad, tolerance=2**-7)


def test_float64_operands_are_stored_as_float32(tmp_path):
    layer = nn.Linear(5, 3).double()
    with record(tmp_path):
        backward(layer(leaf(4, 5, dtype=torch.float64)))
    gemm = read_trace(str(tmp_path)).gemms[0]
    assert (gemm["a"]["dtype"], gemm["source_dtype"]) == ("F32", "float64")


def test_operands_are_those_before_the_update_and_before_in_place_operations(tmp_path):
    layer = nn.Linear(6, 4)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    x = leaf(5, 6)
    with record(tmp_path):
        y = layer(x)
        pre_activation = y.detach().clone()
        F.relu_(y)
        backward(y)
        optimizer.step()
    assert not torch.equal(before, layer.weight)
    trace = read_trace(str(tmp_path))
    np.testing.assert_array_equal(trace.operands(trace.gemms[0])[1], before.numpy().T)
    # dY is the gradient in front of the ReLU: zero where it cuts.
    dy = trace.operands(trace.gemms[1])[0]
    assert ((dy != 0) <= (pre_activation.numpy() > 0)).all()
    close(products(tmp_path)["linear", "dgrad"], x.grad)
    close(products(tmp_path)["linear", "wgrad"], layer.weight.grad)


def test_gradient_is_the_one_that_hooks_of_the_user_have_changed(tmp_path):
    layer = nn.Linear(6, 4)
    x = leaf(5, 6)
    with record(tmp_path):
        y = layer(x)
        y.register_hook(lambda grad: 3 * grad)
        backward(y)
    close(products(tmp_path)["linear", "dgrad"], x.grad)
    close(products(tmp_path)["linear", "wgrad"], layer.weight.grad)


def test_nan_is_recorded_and_its_loss_is_null(tmp_path):
    x = leaf(3, 4)
    with torch.no_grad():
        x[1, 2] = math.nan
    with record(tmp_path):
        (x @ leaf(4, 2)).sum().backward()
    trace = read_trace(str(tmp_path))
    assert np.isnan(trace.operands(trace.gemms[0])[0]).sum() == 1
    assert trace.gemms[0]["loss"] is None


# ---- Which roles there are ----


def roles(directory):
    return [gemm["role"] for gemm in read_trace(str(directory)).gemms]


def test_first_layer_has_no_dgrad_and_frozen_weight_no_wgrad(tmp_path):
    frozen = nn.Linear(4, 4).requires_grad_(False)
    with record(tmp_path / "first"):
        nn.Linear(4, 4)(torch.randn(3, 4)).sum().backward()
    with record(tmp_path / "frozen"):
        frozen(leaf(3, 4)).sum().backward()
    assert roles(tmp_path / "first") == ["fprop", "wgrad"]
    assert roles(tmp_path / "frozen") == ["fprop", "dgrad"]


def test_forward_without_backward_is_fprop_alone_and_no_grad_is_not_recorded(tmp_path):
    layer = nn.Linear(4, 4)
    with record(tmp_path):
        with torch.no_grad():
            layer(torch.randn(9, 4))
        layer(torch.randn(3, 4))
    trace = read_trace(str(tmp_path))
    assert [(gemm["role"], gemm["M"]) for gemm in trace.gemms] == [("fprop", 3)]
    assert trace.gemms[0]["loss"] is None


# ---- Slices ----


def test_sliced_rows_are_rows_of_the_whole(tmp_path):
    layer = nn.Linear(7, 4, bias=False)
    x = leaf(20, 7)
    with record(tmp_path / "whole"):
        backward(layer(x))
    layer.zero_grad()
    with record(tmp_path / "part", max_rows=6, first_row=3):
        backward(layer(x))
    whole, part = products(tmp_path / "whole"), products(tmp_path / "part")
    close(part["linear", "fprop"], whole["linear", "fprop"][3:9])
    close(part["linear", "dgrad"], whole["linear", "dgrad"][3:9])
    trace = read_trace(str(tmp_path / "whole"))
    dy, x_all = trace.operands(trace.gemms[2])
    close(part["linear", "wgrad"], dy[:, 3:9].astype(np.float64) @ x_all[3:9])
    slices = [gemm["slice"] for gemm in read_trace(str(tmp_path / "part")).gemms]
    assert [s["rows"] for s in slices] == [[3, 9]] * 3
    assert [s["full"]["K"] for s in slices] == [7, 4, 20]
    assert "slice" not in trace.gemms[0]


def test_sliced_convolution_rows_cross_samples(tmp_path):
    layer = nn.Conv2d(2, 3, 3, bias=False)
    x = leaf(4, 2, 5, 5)  # 9 output positions a sample
    with record(tmp_path / "whole"):
        backward(layer(x))
    with record(tmp_path / "part", max_rows=14, first_row=12):
        backward(layer(x))
    whole, part = products(tmp_path / "whole"), products(tmp_path / "part")
    close(part["conv2d", "fprop"], whole["conv2d", "fprop"][12:26])
    close(part["conv2d", "dgrad"], whole["conv2d", "dgrad"][12:26])
    assert read_trace(str(tmp_path / "part")).gemms[0]["slice"]["full"]["M"] == 36


def test_slice_beyond_the_end_keeps_the_last_rows(tmp_path):
    with record(tmp_path, max_rows=4, first_row=100):
        nn.Linear(3, 2)(leaf(10, 3)).sum().backward()
    assert read_trace(str(tmp_path)).gemms[0]["slice"]["rows"] == [6, 10]


def test_max_bytes_leaves_products_out_and_says_so(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with pytest.warns(UserWarning, match="1 products left out, first step 0 1: max_bytes=1000"):
        with record(tmp_path, max_bytes=1000):
            model(torch.randn(8, 8)).sum().backward()
    trace = read_trace(str(tmp_path))
    assert {gemm["layer"] for gemm in trace.gemms} == {"0"}
    assert trace.manifest["recipe"]["models"]["model"]["left_out"] == ["step 0 1"]


# ---- Names ----


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)

    def forward(self, x):
        x = self.second(self.first(x))
        return F.linear(x @ x.t(), torch.ones(2, 3)) @ x.new_ones(2, 2)


def layers(directory):
    return list(dict.fromkeys(gemm["layer"] for gemm in read_trace(str(directory)).gemms))


def test_layers_are_named_by_module_path_operation_and_counter(tmp_path):
    model = nn.Sequential(Block(), nn.Identity())
    with record(tmp_path):
        out = model(torch.randn(3, 4))
        (out @ out.t() @ torch.ones(3, 1)).sum().backward()
    assert layers(tmp_path) == [
        "0.first",
        "0.second",
        "0.matmul_0",
        "0.linear_0",
        "0.matmul_1",
        "matmul_0",
        "matmul_1",
    ]


@pytest.mark.parametrize(
    "patterns,expected",
    [
        ("*.first", ["0.first", "1.first"]),
        (["0.first", "1.matmul_*"], ["0.first", "1.matmul_0", "1.matmul_1"]),
        ("1.?i*", ["1.first", "1.linear_0"]),
    ],
)
def test_layer_globs_choose(tmp_path, patterns, expected):
    class Two(nn.ModuleList):
        def forward(self, x):
            return [block(x) for block in self]

    with record(tmp_path, layers=patterns):
        Two([Block(), Block()])(torch.randn(3, 4))
    assert layers(tmp_path) == expected


def test_two_networks_with_equal_paths_get_different_names(tmp_path):
    with record(tmp_path):
        for _ in range(2):
            nn.Sequential(nn.Linear(3, 3))(torch.randn(2, 3))
    assert layers(tmp_path) == ["0", "sequential.0"]


def test_repeated_calls_are_recorded_up_to_max_calls(tmp_path):
    layer = nn.Linear(3, 3)
    with record(tmp_path, max_calls=2):
        layer(layer(layer(torch.randn(2, 3))))
    assert [gemm["name"] for gemm in read_trace(str(tmp_path)).gemms] == [
        "model/step0000/linear/fprop",
        "model/step0000/linear@1/fprop",
    ]


def test_a_module_that_raised_does_not_lend_its_name_to_others(tmp_path):
    class Picky(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    class Tolerant(nn.Module):
        def __init__(self):
            super().__init__()
            self.child = Picky()
            self.after = nn.Linear(3, 3)

        def forward(self, x):
            try:
                self.child(x)
            except ValueError:
                return self.after(x)

    with record(tmp_path):
        Tolerant()(torch.randn(2, 3)) @ torch.randn(3, 3)
    assert layers(tmp_path) == ["after", "matmul_0"]


def test_multi_head_attention_is_seen_inside(tmp_path):
    attention = nn.MultiheadAttention(8, 2)
    x = leaf(5, 3, 8)
    with record(tmp_path):
        y, _ = attention(x, x, x)
        backward(y)
    got = products(tmp_path)
    assert layers(tmp_path)[0] == "multiheadattention.linear_0"
    close(got["multiheadattention.linear_0", "dgrad"], x.grad.reshape(-1, 8))
    close(got["multiheadattention.linear_0", "wgrad"], attention.in_proj_weight.grad)
    assert len(layers(tmp_path)) == 4  # in-projection, scores, context, out-projection


FUSED = getattr(F, "scaled_dot_product_attention", None) or (
    lambda *a, **k: F._scaled_dot_product_attention(*a, **k)[0]
)


@pytest.mark.parametrize("masking", ["none", "causal", "boolean"])
def test_fused_attention_products_equal_output_and_gradients(tmp_path, masking):
    q, k, v = leaf(2, 3, 6, 4, seed=1), leaf(2, 3, 6, 4, seed=2), leaf(2, 3, 6, 4, seed=3)
    options = {
        "none": {},
        "causal": {"is_causal": True},
        "boolean": {"attn_mask": torch.ones(6, 6).tril(1).bool()},
    }
    with record(tmp_path):
        out = FUSED(q, k, v, **options[masking])
        backward(out)
    got = products(tmp_path)
    close(got["attention_0.context", "fprop"], out[0, 0])
    close(got["attention_0.context", "wgrad"], v.grad[0, 0])
    close(got["attention_0.scores", "dgrad"], q.grad[0, 0])
    close(got["attention_0.scores", "wgrad"], k.grad[0, 0].t())
    close(got["attention_0.scores", "fprop"], (q @ k.transpose(-2, -1))[0, 0])


def test_fused_attention_slices_rows_of_the_queries(tmp_path):
    q, k, v = (leaf(1, 8, 4, seed=s) for s in (1, 2, 3))
    with record(tmp_path, max_rows=3, first_row=2):
        out = FUSED(q, k, v, is_causal=True)
        backward(out)
    got = products(tmp_path)
    close(got["attention_0.context", "fprop"], out[0, 2:5])
    close(got["attention_0.scores", "dgrad"], q.grad[0, 2:5])


# ---- Steps and losses ----


def training(updates, make_optimizer=None, after=lambda: None, seed=3):
    """A small training with dropout; returns its losses and final weights."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 2))
    optimizer = (make_optimizer or (lambda p: torch.optim.Adam(p, 0.1)))(model.parameters())
    losses = []
    for _ in range(updates):
        x = torch.randn(10, 6)
        loss = F.cross_entropy(model(x), (x.sum(1) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        after()
    return losses, [p.detach().clone() for p in model.parameters()]


def test_recorded_run_is_the_run_without_recording(tmp_path):
    plain_losses, plain_weights = training(6)
    with record(tmp_path, steps=[0, 2, 5]):
        losses, weights = training(6)
    assert losses == plain_losses
    assert all(torch.equal(a, b) for a, b in zip(weights, plain_weights))
    trace = read_trace(str(tmp_path))
    assert {gemm["step"]: gemm["loss"] for gemm in trace.gemms} == {s: losses[s] for s in (0, 2, 5)}


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_every_optimiser_ends_a_step(tmp_path, optimizer):
    with record(tmp_path, steps=[1, 3]):
        losses, _ = training(5, lambda p: optimizer(p, lr=0.01))
    trace = read_trace(str(tmp_path))
    assert {gemm["step"]: gemm["loss"] for gemm in trace.gemms} == {s: losses[s] for s in (1, 3)}


@pytest.mark.parametrize("when", ["before", "inside"])
def test_scheduler_made_before_or_inside_counts_steps_once(tmp_path, when):
    model = nn.Linear(3, 3)

    def setup():
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1)

    made = setup() if when == "before" else None
    losses = []
    with record(tmp_path, steps=[0, 1, 2]):
        optimizer, scheduler = made or setup()
        for _ in range(3):
            loss = model(torch.randn(2, 3)).pow(2).sum()
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            scheduler.step()
    assert {g["step"]: g["loss"] for g in read_trace(str(tmp_path)).gemms} == dict(
        enumerate(losses)
    )


def test_optimiser_class_of_ones_own_made_inside_ends_a_step(tmp_path):
    with record(tmp_path, steps=[0, 1]):

        class Own(torch.optim.Optimizer):
            def __init__(self, params):
                super().__init__(params, {})

            def step(self, closure=None):
                for group in self.param_groups:
                    for p in group["params"]:
                        p.data -= 0.1 * p.grad

        losses, _ = training(3, Own)
    assert {g["step"]: g["loss"] for g in read_trace(str(tmp_path)).gemms} == dict(
        enumerate(losses[:2])
    )
    gc.collect()


def test_two_optimisers_one_after_the_other_are_one_step(tmp_path):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b)]
    with record(tmp_path, steps=[0, 1, 2]):
        for _ in range(3):
            b(a(torch.randn(2, 3))).sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert {gemm["step"] for gemm in read_trace(str(tmp_path)).gemms} == {0, 1, 2}


def test_steps_and_losses_by_hand(tmp_path):
    weight = leaf(3, 3)
    with record(tmp_path, steps=[0, 1]) as rec:
        for value in (0.5, 0.25, 0.125):
            (torch.randn(2, 3) @ weight).sum().backward()
            rec.step(value)
    assert {gemm["step"]: gemm["loss"] for gemm in read_trace(str(tmp_path)).gemms} == {
        0: 0.5,
        1: 0.25,
    }


def test_losses_of_one_step_add_up(tmp_path):
    weight = leaf(3, 3)
    with record(tmp_path, steps=[0]):
        for value in (1.0, 2.0):
            ((torch.ones(2, 3) @ weight).sum() * 0 + value).backward()
    assert {gemm["loss"] for gemm in read_trace(str(tmp_path)).gemms} == {3.0}


def test_checkpointed_block_is_recorded_when_it_is_run_again(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    x = leaf(3, 4)
    with record(tmp_path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.x asks for use_reentrant
        checkpoint(model, x).sum().backward()
    got = products(tmp_path)
    close(got["0", "dgrad"], x.grad)
    close(got["1", "wgrad"], model[1].weight.grad)


def test_trace_is_on_disk_once_the_last_step_is_over(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with record(tmp_path, steps=[1]) as rec:
            training(3)
            assert rec.published
            raise KeyboardInterrupt
    assert {gemm["step"] for gemm in read_trace(str(tmp_path)).gemms} == {1}


# ---- Cleaning up, and bad input ----


def test_failed_run_leaves_nothing_and_no_hooks(tmp_path):
    step = torch.optim.SGD.step
    init = torch.optim.Optimizer.__init__
    with pytest.raises(ZeroDivisionError):
        with record(tmp_path, steps=[0, 2]):
            training(2, lambda p: torch.optim.SGD(p, lr=0.1))
            1 / 0
    assert list(tmp_path.iterdir()) == []
    assert torch.optim.Optimizer.__init__ is init
    assert torch.optim.SGD.step is step or torch.optim.SGD.step.__wrapped__ is not None
    assert not nn.modules.module._global_forward_pre_hooks
    assert not nn.modules.module._global_forward_hooks


def test_nothing_recorded_is_a_warning_that_names_the_layers_seen(tmp_path):
    with pytest.warns(UserWarning, match="nothing recorded.*layers seen in these steps: 0, 3"):
        with record(tmp_path, layers="nothing") as rec:
            training(1)
    assert not rec.published and list(tmp_path.iterdir()) == []


def test_step_that_was_not_reached_is_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"nothing to record at steps \[9\]"):
        with record(tmp_path, steps=[0, 9]):
            training(2)
    assert read_trace(str(tmp_path)).manifest["recipe"]["steps"] == [0]


@pytest.mark.parametrize(
    "arguments,message",
    [
        (dict(steps=[]), "steps"),
        (dict(steps=[-1]), "steps"),
        (dict(layers=[]), "layers"),
        (dict(model="a/b"), "model"),
        (dict(max_rows=0), "max_rows"),
        (dict(first_row=-1), "first_row"),
        (dict(max_bytes=0), "max_bytes"),
        (dict(max_calls=0), "max_calls"),
    ],
)
def test_bad_argument_is_named(tmp_path, arguments, message):
    with pytest.raises(RecordError, match=message):
        record(tmp_path, **arguments)


def test_directory_that_cannot_be_made_is_an_error_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write into"):
        with record(tmp_path / "file" / "trace"):
            raise AssertionError("the run started")


# ---- The shipped trace ----


def test_shipped_trace_is_whole_and_has_what_it_promises():
    trace = read_trace(str(ROOT / "sim" / "trace" / "data"))
    for model, last in (("cnn", 800), ("lm", 1000)):
        mine = [gemm for gemm in trace.gemms if gemm["model"] == model]
        assert {gemm["step"] for gemm in mine} == {0, last}
        for step in (0, last):
            full = [
                layer
                for layer in {gemm["layer"] for gemm in mine}
                if {g["role"] for g in mine if (g["layer"], g["step"]) == (layer, step)}
                == {"fprop", "dgrad", "wgrad"}
            ]
            assert len(full) >= 3
    macs = sum(gemm["M"] * gemm["N"] * gemm["K"] for gemm in trace.gemms)
    assert 60e6 <= macs <= 100e6
    sizes = [path.stat().st_size for path in (ROOT / "sim" / "trace" / "data").iterdir()]
    assert max(sizes) < 2_000_000 and sum(sizes) < 6_500_000


@pytest.mark.parametrize("step", [0, 1000])
def test_shipped_probabilities_are_the_softmax_of_the_shipped_scores(step):
    trace = read_trace(str(ROOT / "sim" / "trace" / "data"))
    by_name = {gemm["name"]: gemm for gemm in trace.gemms}
    prefix = f"lm/step{step:04d}/blocks.0.attn"
    q, k = trace.operands(by_name[f"{prefix}.matmul_0/fprop"])
    p, _ = trace.operands(by_name[f"{prefix}.matmul_1/fprop"])
    scores = torch.from_numpy(q.astype(np.float64) @ k.astype(np.float64)) / math.sqrt(24)
    future = torch.ones(128, 128, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(future, -math.inf).softmax(-1)
    np.testing.assert_allclose(p, expected.numpy(), atol=1e-6)
