"""The command line as a user runs it: both trainings on small data, repeatable; bad input in one line, exit 2."""

import gzip
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest

from blockdot_record import RecordError, data, read_trace

PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def run(*arguments, prelude="", **environment):
    """`python3 -m blockdot_record ARGUMENTS`, after `prelude`."""
    program = f"{prelude}\nimport sys; from blockdot_record.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **environment},
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Small data in the real formats: 100 random images in each part, and 5,000 characters of text."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        pixels = random.integers(0, 256, (100, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, 100, dtype=np.uint8)
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as stream:
            stream.write(struct.pack(">4I", 0x803, 100, 28, 28) + pixels.tobytes())
        with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz", "wb") as stream:
            stream.write(struct.pack(">2I", 0x801, 100) + labels.tobytes())
    text = folder / "text.txt"
    text.write_text("In the beginning was the Word, and the Word was with God.\n" * 90)
    return {"cnn": folder, "lm": text}


@pytest.mark.parametrize("training,layers", [("cnn", 5), ("lm", 13)])
def test_training_is_recorded_and_the_same_seed_gives_the_same_bytes(
    tmp_path, sources, training, layers
):
    for name in ("one", "two"):
        done = run(
            "train",
            training,
            "--steps",
            "0,2",
            "--max-rows",
            32,
            "--out",
            tmp_path / name,
            "--data",
            sources[training],
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "step     2  loss" in done.stdout
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        f"{training}-step0000.safetensors",
        f"{training}-step0002.safetensors",
        "manifest.json",
    ]
    recipes = []
    for name in names:
        contents = [(tmp_path / run_ / name).read_bytes() for run_ in ("one", "two")]
        assert contents[0] == contents[1], name
    trace = read_trace(str(tmp_path / "one"))
    recipe = trace.manifest["recipe"]
    assert recipe["seed"] == 0 and "--out" not in recipe["command"]
    assert len({gemm["layer"] for gemm in trace.gemms}) == layers
    assert all(isinstance(gemm["loss"], float) for gemm in trace.gemms)
    other = run(
        "train", training, "--seed", 7, "--out", tmp_path / "other", "--data", sources[training]
    )
    assert other.returncode == 0
    assert (
        read_trace(str(tmp_path / "other")).gemms[0]["b"]["sha256"] != trace.gemms[0]["b"]["sha256"]
    )


def test_check_lists_the_shipped_trace():
    done = run("check", PACKAGE.parent / "sim" / "trace" / "data")
    assert done.returncode == 0
    assert "lm/step1000/head/wgrad" in done.stdout and "all hashes right" in done.stdout


def test_help_has_examples_and_version_is_printed():
    for arguments in (["--help"], ["train", "--help"]):
        assert "python3 -m blockdot_record train cnn --steps 0,400" in run(*arguments).stdout
    assert run("--version").stdout == "blockdot_record 0.1\n"


BAD = {
    "unknown training": (["train", "rnn", "--out", "x"], "invalid choice: 'rnn'"),
    "no command": ([], "required: COMMAND"),
    "no directory": (["train", "cnn"], "required: --out"),
    "steps not numbers": (
        ["train", "cnn", "--out", "x", "--steps", "a"],
        "--steps a: must be integers",
    ),
    "negative seed": (["train", "cnn", "--out", "x", "--seed", "-1"], "--seed -1"),
    "no data": (
        ["train", "cnn", "--out", "x", "--data", "/nowhere"],
        "install Debian's dataset-fashion-mnist",
    ),
    "no text": (["train", "lm", "--out", "x", "--data", "/nowhere"], "/nowhere: cannot be read"),
    "no trace": (["check", "/nowhere"], "/nowhere/manifest.json: No such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(case):
    arguments, message = BAD[case]
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_bad_recording_options_are_one_line_and_exit_2(tmp_path, sources):
    (tmp_path / "file").write_text("")
    for options, message in [
        (["--out", tmp_path / "file"], "cannot write into"),
        (["--out", tmp_path / "t", "--max-rows", "0"], "max_rows = 0"),
        (["--out", tmp_path / "t", "--steps", "-3"], "steps = [-3]"),
    ]:
        done = run("train", "cnn", "--data", sources["cnn"], *options)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
    done = run("train", "cnn", "--data", sources["cnn"], "--out", tmp_path / "t", "--layers", "zz")
    assert done.returncode == 2 and "no layer of 'cnn' matches --layers zz" in done.stderr


@pytest.mark.parametrize("module", ["torch", "numpy"])
def test_missing_module_names_the_debian_package(tmp_path, module):
    prelude = f"import sys; sys.modules['{module}'] = None"
    done = run("train", "cnn", "--out", tmp_path, prelude=prelude)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "install Debian's python3-torch" in done.stderr and module in done.stderr


def test_check_needs_neither_torch_nor_numpy():
    prelude = "import sys; sys.modules['torch'] = sys.modules['numpy'] = None"
    done = run("check", PACKAGE.parent / "sim" / "trace" / "data", prelude=prelude)
    assert done.returncode == 0 and "all hashes right" in done.stdout


def test_missing_bible_names_the_debian_package(tmp_path):
    done = run("train", "lm", "--out", tmp_path, PATH="/nowhere")
    assert done.returncode == 2 and "install Debian's bible-kjv" in done.stderr


def test_bible_without_its_text_names_the_debian_package(tmp_path):
    (tmp_path / "bible").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bible").chmod(0o755)
    done = run("train", "lm", "--out", tmp_path / "t", PATH=str(tmp_path))
    assert done.returncode == 2 and "install Debian's bible-kjv-text" in done.stderr


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(b"\0" * 20), gzip.compress(b"")[:-4]]
)
def test_damaged_data_file_is_named(tmp_path, content):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(RecordError, match="train-images-idx3-ubyte.gz: not a gzipped IDX file"):
        data.fashion_mnist(str(tmp_path), "train")


def test_debian_data_is_what_its_authors_say_or_its_package_is_named():
    try:
        images, labels = data.fashion_mnist(None, "t10k")
        assert images.shape == (10000, 28, 28) and 0 <= images.min() and images.max() == 1
        assert np.bincount(labels).tolist() == [1000] * 10
    except RecordError as error:
        assert "dataset-fashion-mnist" in str(error)
    try:
        text = data.king_james_text(None)
        assert text.count("\n") == 31102 and text.startswith("In the beginning God created")
    except RecordError as error:
        assert "bible-kjv" in str(error)
