"""Traces on disk (docs/trace-format.md): publishing a recording into a directory, and reading one with every check."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Dict, List, NamedTuple

from . import safetensors
from .safetensors import SafetensorsError, Tensor

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "blockdot.trace/1"
MANIFEST = "manifest.json"
ROLES = ("fprop", "dgrad", "wgrad")


class RecordError(Exception):
    """Something the user can put right: an argument, a missing package, a directory that cannot be written."""


def cannot_import(error: ImportError) -> RecordError:
    """What to say when a Python has no torch or numpy."""
    return RecordError(
        f"{error}: recording needs torch 1.13 or later and numpy: install Debian's python3-torch and "
        "python3-numpy and run /usr/bin/python3, or install them for this Python"
    )


class TraceError(ValueError):
    """A trace that does not hold what its manifest says."""


class Trace(NamedTuple):
    """A trace that was read and checked. `tensors` is keyed by (file, tensor name)."""

    manifest: dict
    tensors: Dict[tuple, Tensor]

    @property
    def gemms(self) -> List[dict]:
        return self.manifest["gemms"]

    def operands(self, gemm: dict) -> tuple:
        """op(A) [M,K] and op(B) [K,N] of a GEMM as float32 arrays."""
        return tuple(self._operand(gemm[side]) for side in ("a", "b"))

    def _operand(self, ref: dict) -> "np.ndarray":
        array = to_float32(self.tensors[ref["file"], ref["tensor"]])
        return array.T if ref["transpose"] else array


def to_float32(tensor: Tensor) -> "np.ndarray":
    """The tensor's values, exactly: every BF16 and F16 value is an F32 value."""
    import numpy as np  # here only: writing and checking a trace needs the standard library alone

    if tensor.dtype == "BF16":
        bits = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor.shape)
    dtype = {"F32": "<f4", "F16": "<f2"}[tensor.dtype]
    return np.frombuffer(tensor.data, dtype=dtype).astype(np.float32).reshape(tensor.shape)


def operand_ref(file: str, name: str, tensor: Tensor, transpose: bool) -> dict:
    """The manifest's entry for one operand."""
    return {
        "file": file,
        "tensor": name,
        "transpose": transpose,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "sha256": hashlib.sha256(tensor.data).hexdigest(),
    }


def prepare_directory(directory: str) -> None:
    """Makes `directory` if need be and checks that it takes files. Raises RecordError."""
    try:
        os.makedirs(directory, exist_ok=True)
        probe = temporary_name(directory, "probe")
        with open(probe, "wb"):
            pass
        os.unlink(probe)
    except OSError as error:
        raise RecordError(f"cannot write into {directory}: {error.strerror or error}")


def temporary_name(directory: str, name: str) -> str:
    """A name beside the final one that no other process uses."""
    return os.path.join(directory, f".{name}.{os.getpid()}.tmp")


def write_temporary(directory: str, name: str, content: bytes) -> str:
    """Writes `content` under a temporary name for `name`, removed again if it does not fit. Raises RecordError."""
    path = temporary_name(directory, name)
    try:
        with open(path, "wb") as stream:
            stream.write(content)
    except OSError as error:
        if os.path.exists(path):
            os.unlink(path)
        raise RecordError(
            f"cannot write {os.path.join(directory, name)}: {error.strerror or error}"
        )
    return path


@contextmanager
def _locked(directory: str):
    """Holds the directory's lock, so that two recordings into it publish one after the other."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def publish(
    directory: str,
    created_by: str,
    model: str,
    recipe: dict,
    gemms: List[dict],
    files: Dict[str, str],
) -> None:
    """Gives the files of a recording their names and enters its GEMMs into the directory's manifest.

    files: final name -> temporary path. GEMMs of other models already in the manifest are kept, those of `model`
    replaced, and tensor files that nothing names any more are removed. Raises RecordError.
    """
    with _locked(directory):
        old = _existing_manifest(directory)
        models = {
            name: entry for name, entry in old["recipe"].get("models", {}).items() if name != model
        }
        models[model] = recipe
        kept = [gemm for gemm in old["gemms"] if gemm["model"] != model]
        manifest = {
            "schema": SCHEMA,
            "created_by": created_by,
            "recipe": _recipe_of(models),
            "gemms": kept + gemms,
        }
        try:
            for name, path in files.items():
                os.replace(path, os.path.join(directory, name))
            text = manifest_text(manifest)
            os.replace(
                write_temporary(directory, MANIFEST, text.encode()),
                os.path.join(directory, MANIFEST),
            )
            for name in sorted(_files_of(old) - _files_of(manifest)):
                if os.path.exists(os.path.join(directory, name)):
                    os.unlink(os.path.join(directory, name))
        except OSError as error:
            raise RecordError(f"cannot write into {directory}: {error.strerror or error}")


def manifest_text(manifest: dict) -> str:
    """JSON with one GEMM a line: greppable, and diffs stay small."""
    head = {key: value for key, value in manifest.items() if key != "gemms"}
    text = json.dumps(head, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(gemm, allow_nan=False) for gemm in manifest["gemms"])
    return f'{text},\n "gemms": [\n{lines}\n ]\n}}\n'


def _recipe_of(models: Dict[str, dict]) -> dict:
    """The summary over all models of a trace, and each model's own entry under `models`."""

    def joined(field: str):
        values = []
        for entry in models.values():
            if entry.get(field) not in values:
                values.append(entry.get(field))
        return values[0] if len(values) == 1 else "; ".join(str(value) for value in values)

    steps = sorted({step for entry in models.values() for step in entry["steps"]})
    summary = {field: joined(field) for field in ("command", "seed", "torch", "dataset")}
    return {**summary, "steps": steps, "models": models}


def _files_of(manifest: dict) -> set:
    return {gemm[side]["file"] for gemm in manifest["gemms"] for side in ("a", "b")}


def _existing_manifest(directory: str) -> dict:
    path = os.path.join(directory, MANIFEST)
    if not os.path.exists(path):
        return {"recipe": {}, "gemms": []}
    try:
        return _checked_manifest(path)
    except TraceError as error:
        raise RecordError(f"{error}; choose another directory or remove this file")


def _checked_manifest(path: str) -> dict:
    """Reads a manifest and checks everything but the tensors. Raises TraceError."""

    def need(condition: bool, problem: str) -> None:
        if not condition:
            raise TraceError(f"{path}: {problem}")

    def natural(value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1

    try:
        with open(path, encoding="utf-8") as stream:
            manifest = json.load(stream)
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}")
    except ValueError as error:
        raise TraceError(f"{path}: not JSON ({error})")
    need(isinstance(manifest, dict), "not a JSON object")
    need(
        manifest.get("schema") == SCHEMA,
        f"schema is {manifest.get('schema')!r}, must be '{SCHEMA}'",
    )
    need(isinstance(manifest.get("recipe"), dict), "recipe is missing")
    need(
        isinstance(manifest.get("gemms"), list) and len(manifest["gemms"]) > 0,
        "gemms is missing or empty",
    )
    names = set()
    for index, gemm in enumerate(manifest["gemms"]):
        need(
            isinstance(gemm, dict) and isinstance(gemm.get("name"), str),
            f"gemms[{index}] has no name",
        )
        name = gemm["name"]
        need(name not in names, f"two GEMMs have the name '{name}'")
        names.add(name)
        need(
            gemm.get("role") in ROLES,
            f"'{name}': role is {gemm.get('role')!r}, must be one of {', '.join(ROLES)}",
        )
        need(
            all(natural(gemm.get(size)) for size in "MNK"),
            f"'{name}': M, N and K must be integers >= 1",
        )
        need(gemm.get("block_axis") == "k", f"'{name}': block_axis must be 'k'")
        need(
            isinstance(gemm.get("model"), str) and isinstance(gemm.get("layer"), str),
            f"'{name}': no model or layer",
        )
        need(isinstance(gemm.get("step"), int), f"'{name}': step must be an integer")
        for side, shape in (("a", [gemm["M"], gemm["K"]]), ("b", [gemm["K"], gemm["N"]])):
            ref = gemm.get(side)
            need(isinstance(ref, dict), f"'{name}': operand {side} is missing")
            texts = all(
                isinstance(ref.get(field), str) for field in ("file", "tensor", "dtype", "sha256")
            )
            need(
                texts and isinstance(ref.get("transpose"), bool),
                f"'{name}': operand {side} is incomplete",
            )
            need("/" not in ref["file"], f"'{name}': operand {side} names a file outside the trace")
            stored = shape[::-1] if ref["transpose"] else shape
            need(
                ref.get("shape") == stored,
                f"'{name}': operand {side} has shape {ref.get('shape')}, must be {stored}",
            )
    return manifest


def read_trace(directory: str) -> Trace:
    """Reads a trace and checks it whole: manifest, files, dtypes, shapes and hashes. Raises TraceError."""
    manifest = _checked_manifest(os.path.join(directory, MANIFEST))
    tensors: Dict[tuple, Tensor] = {}
    for file in sorted(_files_of(manifest)):
        path = os.path.join(directory, file)
        try:
            with open(path, "rb") as stream:
                content = safetensors.decode(stream.read(), path)
        except OSError as error:
            raise TraceError(f"{path}: {error.strerror}")
        except SafetensorsError as error:
            raise TraceError(str(error))
        tensors.update({(file, name): tensor for name, tensor in content.items()})
    hashes: Dict[tuple, str] = {}
    for gemm in manifest["gemms"]:
        for side in ("a", "b"):
            ref = gemm[side]
            key = (ref["file"], ref["tensor"])
            where = f"'{gemm['name']}': operand {side}"
            if key not in tensors:
                raise TraceError(f"{where}: {ref['file']} has no tensor '{ref['tensor']}'")
            tensor = tensors[key]
            if (tensor.dtype, list(tensor.shape)) != (ref["dtype"], ref["shape"]):
                raise TraceError(
                    f"{where}: the file has {tensor.dtype} {tensor.shape}, not {ref['dtype']} {ref['shape']}"
                )
            if key not in hashes:
                hashes[key] = hashlib.sha256(tensor.data).hexdigest()
            if hashes[key] != ref["sha256"]:
                raise TraceError(
                    f"{where}: sha256 of '{ref['tensor']}' differs: the data changed after recording"
                )
    return Trace(manifest, tensors)
