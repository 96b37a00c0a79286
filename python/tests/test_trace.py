"""Traces on disk: the layout byte by byte, publishing, and every way a trace can be broken."""

import hashlib
import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from blockdot_record import RecordError, TraceError, read_trace
from blockdot_record import safetensors, trace
from blockdot_record.safetensors import SafetensorsError, Tensor


def f32(array):
    return Tensor("F32", list(array.shape), array.astype("<f4").tobytes())


def write(directory, model="m", steps=(0,), value=1.0):
    """Publishes one product a step through the package's own functions."""
    trace.prepare_directory(str(directory))
    gemms, files = [], {}
    for step in steps:
        name = f"{model}-step{step:04d}.safetensors"
        x, w = f32(np.full((2, 3), value)), f32(np.arange(12.0).reshape(4, 3))
        files[name] = trace.write_temporary(
            str(directory), name, safetensors.encode({"x": x, "w": w}, {})
        )
        gemms.append(
            {
                "name": f"{model}/step{step:04d}/l/fprop",
                "model": model,
                "step": step,
                "layer": "l",
                "role": "fprop",
                "M": 2,
                "N": 4,
                "K": 3,
                "a": trace.operand_ref(name, "x", x, False),
                "b": trace.operand_ref(name, "w", w, True),
                "block_axis": "k",
                "source_dtype": "float32",
                "loss": None,
            }
        )
    recipe = {
        "command": f"make {model}",
        "seed": 0,
        "torch": "1",
        "dataset": "d",
        "steps": list(steps),
    }
    trace.publish(str(directory), "test", model, recipe, gemms, files)


def test_file_is_length_header_and_bytes_as_the_safetensors_project_defines_them(tmp_path):
    write(tmp_path)
    content = (tmp_path / "m-step0000.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert header == {
        "__metadata__": {},
        "x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "w": {"dtype": "F32", "shape": [4, 3], "data_offsets": [24, 72]},
    }
    assert (
        content[8 + length :] == np.ones(6, "<f4").tobytes() + np.arange(12, dtype="<f4").tobytes()
    )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (
        manifest["gemms"][0]["b"]["sha256"]
        == hashlib.sha256(content[8 + length + 24 :]).hexdigest()
    )


def test_operands_are_transposed_as_the_manifest_says(tmp_path):
    write(tmp_path)
    read = read_trace(str(tmp_path))
    a, b = read.operands(read.gemms[0])
    np.testing.assert_array_equal(a @ b, np.ones((2, 3)) @ np.arange(12.0).reshape(4, 3).T)


@pytest.mark.parametrize(
    "dtype,code,value",
    [
        ("BF16", 0x3FC0, 1.5),
        ("BF16", 0x0001, 2.0**-133),
        ("BF16", 0xFF80, -np.inf),
        ("F16", 0x3E00, 1.5),
        ("F16", 0x0001, 2.0**-24),
    ],
)
def test_sixteen_bit_codes_read_as_ieee_and_bfloat16_define_them(dtype, code, value):
    assert trace.to_float32(Tensor(dtype, [1, 1], struct.pack("<H", code))) == np.float32(value)


# ---- Publishing ----


def test_other_models_are_kept_and_the_same_model_is_replaced(tmp_path):
    write(tmp_path, "m", steps=(0, 1))
    write(tmp_path, "n")
    write(tmp_path, "m", steps=(2,), value=5.0)
    read = read_trace(str(tmp_path))
    assert [gemm["name"] for gemm in read.gemms] == ["n/step0000/l/fprop", "m/step0002/l/fprop"]
    assert read.manifest["recipe"]["command"] == "make n; make m"
    assert read.manifest["recipe"]["steps"] == [0, 2]
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["m-step0002.safetensors", "manifest.json", "n-step0000.safetensors"]


PUBLISH = """
import pathlib, sys
sys.path[:0] = sys.argv[3:]
from test_trace import write
for value in range(20):
    write(pathlib.Path(sys.argv[1]), sys.argv[2], value=float(value))
"""


def publisher(directory, model):
    """Another process that publishes `model` twenty times."""
    return subprocess.Popen([sys.executable, "-c", PUBLISH, str(directory), model, *sys.path])


def test_processes_that_publish_into_one_directory_at_once_all_arrive_whole(tmp_path):
    runs = [publisher(tmp_path, model) for model in ("p", "q", "p")]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    assert {gemm["model"] for gemm in read_trace(str(tmp_path)).gemms} == {"p", "q"}
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_publishing_waits_for_the_one_that_holds_the_directory(tmp_path):
    with trace._locked(str(tmp_path)):
        run = publisher(tmp_path, "p")
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=2)
        assert not (tmp_path / "manifest.json").exists()
    assert run.wait(timeout=120) == 0


def test_directory_with_a_foreign_manifest_is_refused_and_left_alone(tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema": "other/1"}')
    with pytest.raises(RecordError, match="schema is 'other/1'"):
        write(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == '{"schema": "other/1"}'


# ---- Broken traces ----


def edit(change):
    """A change of the manifest's first GEMM, as a function of the directory."""

    def apply(directory):
        path = directory / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest, manifest["gemms"][0])
        path.write_text(json.dumps(manifest))

    return apply


def flip_last_byte(directory):
    path = directory / "m-step0000.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


BROKEN = {
    "no manifest": (lambda d: (d / "manifest.json").unlink(), "No such file"),
    "manifest not JSON": (lambda d: (d / "manifest.json").write_text("{"), "not JSON"),
    "manifest a list": (lambda d: (d / "manifest.json").write_text("[]"), "not a JSON object"),
    "other schema": (
        edit(lambda m, g: m.update(schema="blockdot.trace/2")),
        "schema is 'blockdot.trace/2'",
    ),
    "no recipe": (edit(lambda m, g: m.pop("recipe")), "recipe is missing"),
    "no products": (edit(lambda m, g: m.update(gemms=[])), "missing or empty"),
    "product without name": (edit(lambda m, g: g.pop("name")), r"gemms\[0\] has no name"),
    "name twice": (edit(lambda m, g: m["gemms"].append(dict(g))), "two GEMMs have the name"),
    "unknown role": (edit(lambda m, g: g.update(role="bprop")), "role is 'bprop'"),
    "size zero": (edit(lambda m, g: g.update(K=0)), "integers >= 1"),
    "size true": (edit(lambda m, g: g.update(K=True)), "integers >= 1"),
    "unknown block axis": (edit(lambda m, g: g.update(block_axis="n")), "block_axis"),
    "no operand": (edit(lambda m, g: g.pop("a")), "operand a is missing"),
    "operand incomplete": (edit(lambda m, g: g["b"].pop("sha256")), "operand b is incomplete"),
    "operand outside": (edit(lambda m, g: g["a"].update(file="../x")), "outside the trace"),
    "shape against M, N, K": (
        edit(lambda m, g: g["b"].update(transpose=False)),
        r"must be \[3, 4\]",
    ),
    "no such tensor": (edit(lambda m, g: g["a"].update(tensor="y")), "has no tensor 'y'"),
    "dtype against file": (edit(lambda m, g: g["a"].update(dtype="BF16")), "the file has F32"),
    "no such file": (lambda d: (d / "m-step0000.safetensors").unlink(), "No such file"),
    "data changed": (flip_last_byte, "sha256 of 'w' differs"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_trace_is_refused_with_its_reason(tmp_path, case):
    write(tmp_path)
    read_trace(str(tmp_path))
    damage, message = BROKEN[case]
    damage(tmp_path)
    with pytest.raises(TraceError, match=message):
        read_trace(str(tmp_path))


def file_of(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(begin, end, dtype="F32", shape=(1,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


MALFORMED = {
    "empty": (b"", "too short"),
    "header beyond the file": (file_of({}, length=1 << 40), "goes beyond the file"),
    "truncated": (file_of({"t": entry(0, 4)}, b"\0\0\0"), "out of the 3 data bytes"),
    "not JSON": (file_of(b"nonsense"), "not JSON"),
    "not UTF-8": (file_of(b"\xff\xfe{}"), "not JSON"),
    "not an object": (file_of([]), "not a JSON object"),
    "entry incomplete": (file_of({"t": {"dtype": "F32"}}), "no valid dtype"),
    "negative extent": (file_of({"t": entry(0, 4, shape=(-1, -1))}, b"\0" * 4), "no valid dtype"),
    "wrong dtype": (file_of({"t": entry(0, 8, "F64")}, b"\0" * 8), "dtype F64"),
    "size against shape": (file_of({"t": entry(0, 4, shape=(2,))}, b"\0" * 4), "its shape needs 8"),
    "overlap": (
        file_of({"t": entry(0, 4), "u": entry(2, 6)}, b"\0" * 6),
        "starts at 2, the one before it ends at 4",
    ),
    "hole": (file_of({"t": entry(4, 8)}, b"\0" * 8), "starts at 4, the one before it ends at 0"),
    "bytes behind": (file_of({"t": entry(0, 4)}, b"\0" * 5), "1 bytes after the last tensor"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_file_is_refused_with_its_reason(case):
    content, message = MALFORMED[case]
    with pytest.raises(SafetensorsError, match=message):
        safetensors.decode(content, "file")
