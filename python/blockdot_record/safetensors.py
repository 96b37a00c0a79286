"""The safetensors file layout: header length (8 bytes, little-endian), JSON header, raw bytes.

Written here because Debian has no package of it; about forty lines need no dependency. The reader refuses
every file whose header does not describe its bytes exactly.
"""

from __future__ import annotations

import json
import struct
from typing import Dict, List, NamedTuple

DTYPE_BYTES = {"F32": 4, "BF16": 2, "F16": 2}


class SafetensorsError(ValueError):
    """A file that is not safetensors, or whose header and bytes contradict each other."""


class Tensor(NamedTuple):
    """Raw little-endian bytes of a row-major tensor. `dtype` is one of DTYPE_BYTES."""

    dtype: str
    shape: List[int]
    data: bytes


def encode(tensors: Dict[str, Tensor], metadata: Dict[str, str]) -> bytes:
    """The bytes of a file that holds `tensors` in their order; the same input gives the same bytes."""
    header: dict = {"__metadata__": metadata}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + len(tensor.data)
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(t.data for t in tensors.values())


def decode(content: bytes, what: str) -> Dict[str, Tensor]:
    """The tensors of a file's bytes. `what` names the file in errors. Raises SafetensorsError."""
    if len(content) < 8:
        raise SafetensorsError(f"{what}: {len(content)} bytes, too short for a safetensors file")
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise SafetensorsError(
            f"{what}: header of {length} bytes goes beyond the file's {len(content)} bytes"
        )
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError as error:
        raise SafetensorsError(f"{what}: header is not JSON ({error})")
    if not isinstance(header, dict):
        raise SafetensorsError(f"{what}: header is not a JSON object")
    body = memoryview(content)[8 + length :]
    tensors = {}
    spans = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            count = 1
            for extent in shape:
                if not isinstance(extent, int) or extent < 0:
                    raise ValueError("shape")
                count *= extent
            if not (isinstance(begin, int) and isinstance(end, int)):
                raise ValueError("data_offsets")
        except (TypeError, KeyError, ValueError):
            raise SafetensorsError(
                f"{what}: tensor '{name}' has no valid dtype, shape and data_offsets"
            )
        if dtype not in DTYPE_BYTES:
            raise SafetensorsError(
                f"{what}: tensor '{name}' has dtype {dtype}, must be F32, BF16 or F16"
            )
        if not 0 <= begin <= end <= len(body):
            raise SafetensorsError(
                f"{what}: tensor '{name}' at [{begin}, {end}) is out of the {len(body)} data bytes"
            )
        if end - begin != count * DTYPE_BYTES[dtype]:
            raise SafetensorsError(
                f"{what}: tensor '{name}' has {end - begin} bytes, its shape needs {count * DTYPE_BYTES[dtype]}"
            )
        spans.append((begin, end, name))
        tensors[name] = Tensor(dtype, shape, bytes(body[begin:end]))
    expected = 0
    for begin, end, name in sorted(spans):
        if begin != expected:
            raise SafetensorsError(
                f"{what}: tensor '{name}' starts at {begin}, the one before it ends at {expected}"
            )
        expected = end
    if expected != len(body):
        raise SafetensorsError(f"{what}: {len(body) - expected} bytes after the last tensor")
    return tensors
