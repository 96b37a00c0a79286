"""The data of the two built-in trainings, from Debian's packages or from files given by the user.

- Fashion-MNIST (package dataset-fashion-mnist, MIT licence): 60,000 + 10,000 images of 28 x 28, ten classes
- the King James text (packages bible-kjv and bible-kjv-text, public domain): 31,102 verses, 4.1 million characters
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import struct
import subprocess
from typing import Optional, Tuple

import numpy as np

from .trace import RecordError

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


def fashion_mnist(directory: Optional[str], part: str) -> Tuple[np.ndarray, np.ndarray]:
    """Images [N,28,28] as float32 in [0,1], and labels [N] as int64. part: 'train' or 't10k'. Raises RecordError."""
    folder = directory or FASHION_MNIST
    pixels = _idx(os.path.join(folder, f"{part}-images-idx3-ubyte.gz"), dims=3)
    labels = _idx(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz"), dims=1)
    if len(pixels) != len(labels) or pixels.shape[1:] != (28, 28):
        raise RecordError(
            f"{folder}: {pixels.shape} images and {len(labels)} labels, must be as many of 28 x 28"
        )
    return pixels.astype(np.float32) / 255, labels.astype(np.int64)


def _idx(path: str, dims: int) -> np.ndarray:
    """A gzipped IDX file of bytes: 0, 0, 8 (unsigned byte), number of dimensions, sizes big-endian, data."""
    if not os.path.exists(path):
        raise RecordError(
            f"{path} is missing: install Debian's dataset-fashion-mnist, "
            "or give the folder of the four .gz files with --data"
        )
    try:
        with gzip.open(path) as stream:
            content = stream.read()
        magic, *sizes = struct.unpack_from(f">{1 + dims}I", content)
        if magic != 0x800 + dims:
            raise ValueError(f"magic number {magic:#x}")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(sizes)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise RecordError(f"{path}: not a gzipped IDX file of {dims} dimension(s) ({error})")


def king_james_text(file: Optional[str]) -> str:
    """The verses, one a line, without their references; or the text of `file`. Raises RecordError."""
    if file is not None:
        try:
            with open(file, encoding="utf-8") as stream:
                return stream.read()
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"{file}: cannot be read as UTF-8 text ({error})")
    program = shutil.which("bible")
    if program is None:
        raise RecordError(
            "the program 'bible' is missing: install Debian's bible-kjv, or give a text file with --data"
        )
    run = subprocess.run(
        [program, "-f", "gen1:1-rev22:21"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    verses = re.findall(r"^\w+:\d+ (.*)$", run.stdout, re.MULTILINE)
    if run.returncode != 0 or len(verses) < 31000:
        raise RecordError(
            f"'bible' gave {len(verses)} verses, not 31102: install Debian's bible-kjv-text"
        )
    return "\n".join(verses) + "\n"
