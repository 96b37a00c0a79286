"""Command line of the recorder: argument parsing and printing only. Exit 0 done, 2 bad input or a broken trace."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import warnings
from typing import List, Optional

from . import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_ROWS,
    RecordError,
    TraceError,
    __version__,
    read_trace,
    record,
)
from .trace import cannot_import

EXAMPLES = """\
examples:
  # a small CNN on Fashion-MNIST: the first step and one after training
  python3 -m blockdot_record train cnn --steps 0,400 --out out/trace

  # a small language model on the King James text into the same trace, two of its layers
  python3 -m blockdot_record train lm --steps 0,400 --layers 'blocks.0.attn.*,head' --max-rows 128 --out out/trace

  # is a trace whole, and what is in it?
  python3 -m blockdot_record check out/trace

a model of your own, in two lines of your training script:
  import blockdot_record
  with blockdot_record.record("out/trace", steps=[0, 100], layers="*"):
      train()

needs torch 1.13 or later (Debian: python3-torch, run with /usr/bin/python3)
"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line; argparse would print the usage as well."""

    def error(self, message: str):
        raise RecordError(f"{message} (see --help)")


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="python3 -m blockdot_record",
        description="Records the matrix products of real training runs as blockdot traces.",
        epilog=EXAMPLES,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"blockdot_record {__version__}")
    commands = parser.add_subparsers(
        dest="subcommand", required=True, metavar="COMMAND", parser_class=_Parser
    )

    train = commands.add_parser(
        "train",
        help="run a built-in training and record it",
        description="Runs a built-in training up to the last of the steps and records these steps.",
        epilog=EXAMPLES,
        formatter_class=formatter,
    )
    train.add_argument(
        "training",
        choices=["cnn", "lm"],
        help="cnn: Fashion-MNIST; lm: characters of the King James text",
    )
    train.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="the trace's directory; other models in it are kept",
    )
    train.add_argument(
        "--steps",
        default="0",
        metavar="N,N...",
        help="0-based steps to record (default %(default)s)",
    )
    train.add_argument(
        "--layers", default="*", metavar="GLOB,...", help="layers to record (default %(default)s)"
    )
    train.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of weights and batches (default %(default)s)",
    )
    train.add_argument(
        "--max-rows",
        type=int,
        default=DEFAULT_MAX_ROWS,
        metavar="R",
        help="rows (samples, characters, output pixels) kept of each product (default %(default)s)",
    )
    train.add_argument(
        "--first-row", type=int, default=0, metavar="R", help="first row kept (default %(default)s)"
    )
    train.add_argument(
        "--max-bytes",
        type=int,
        default=DEFAULT_MAX_BYTES,
        metavar="B",
        help="of tensor data in all (default %(default)s)",
    )
    train.add_argument(
        "--data",
        metavar="PATH",
        help="folder of Fashion-MNIST's files, or a text file, instead of Debian's",
    )

    check = commands.add_parser(
        "check", help="check a trace and list it", formatter_class=formatter
    )
    check.add_argument("trace", metavar="DIR")
    return parser


def _train(arguments: argparse.Namespace, argv: List[str]) -> None:
    try:
        steps = [int(text) for text in arguments.steps.split(",")]
    except ValueError:
        raise RecordError(
            f"--steps {arguments.steps}: must be integers separated by commas, such as 0,400"
        )
    if not 0 <= arguments.seed < 2**63:
        raise RecordError(f"--seed {arguments.seed}: must be in [0, 2^63)")
    try:
        from . import train
    except ImportError as error:
        raise cannot_import(error)

    started = time.monotonic()
    training = train.prepare(arguments.training, arguments.seed, arguments.data)

    def progress(step: int, loss: float) -> None:
        if step % 50 == 0 or step in steps:
            note = "  recorded" if step in steps else ""
            print(
                f"step {step:5d}  loss {loss:.4f}  {time.monotonic() - started:6.1f} s{note}",
                flush=True,
            )

    recipe = {"command": _command(argv), "seed": arguments.seed, "dataset": training.dataset}
    with record(
        arguments.out,
        steps=steps,
        layers=arguments.layers.split(","),
        model=arguments.training,
        max_rows=arguments.max_rows,
        first_row=arguments.first_row,
        max_bytes=arguments.max_bytes,
        recipe=recipe,
    ) as recorder:
        train.run(training, max(steps) + 1, progress)
    if not recorder.published:
        raise RecordError(f"no layer of '{arguments.training}' matches --layers {arguments.layers}")
    print(f"{arguments.training}: {training.final()}")
    print(f"recorded {recorder.summary}")


def _command(argv: List[str]) -> str:
    """The command for the recipe, without --out: the same recording has the same manifest wherever it is put."""
    words = []
    skip = False
    for word in argv:
        if not skip and word != "--out" and not word.startswith("--out="):
            words.append(word)
        skip = word == "--out"
    return shlex.join(["python3", "-m", "blockdot_record", *words])


def _check(directory: str) -> None:
    trace = read_trace(directory)
    for gemm in trace.gemms:
        size = "x".join(str(gemm[axis]) for axis in "MNK")
        loss = "-" if gemm.get("loss") is None else f"{gemm['loss']:.4f}"
        print(
            f"{gemm['name']:48s} {size:>14s}  {gemm['a']['dtype']} x {gemm['b']['dtype']}  loss {loss}"
        )
    macs = sum(gemm["M"] * gemm["N"] * gemm["K"] for gemm in trace.gemms)
    print(
        f"{len(trace.gemms)} GEMMs, {len(trace.tensors)} tensors, {macs / 1e6:.1f} M multiply-adds: all hashes right"
    )


def main(argv: Optional[List[str]] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    warnings.showwarning = lambda message, *rest: print(f"warning: {message}", file=sys.stderr)
    try:
        arguments = _parser().parse_args(argv)
        if arguments.subcommand == "train":
            _train(arguments, argv)
        else:
            _check(arguments.trace)
    except (RecordError, TraceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
