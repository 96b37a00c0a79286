"""Draws the units that the estimates are validated with: python3 scripts/draw_validation.py SEED COUNT

Prints a design file for `blockdot synth` of COUNT units, each for both technologies. Kinds, formats, lanes, accumulators
and roundings come from the seed's random numbers; what explore/designs/calibration.toml has, under any scale, is drawn
again. A set is drawn and measured once: constants that are changed after a look at its errors need another seed.
"""

import itertools
import pathlib
import random
import sys
import tomllib

CALIBRATION = pathlib.Path(__file__).parent.parent / "explore/designs/calibration.toml"

# Formats that may meet in one unit.
FAMILIES = [["mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8"],
            ["bm8", "bm6", "bm4"],
            ["int8", "int6", "int4", "e4m3", "e5m2", "e3m2", "e2m3", "e2m1"]]
LANES = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16]
ACCUMULATORS = ["fp32", "fp32", "bf16", "fp16", "kulisch[24:-24]:saturate", "kulisch[40:-16]:wrap", "kulisch"]
OUTPUTS = ["fp32", "bf16", "fp16"]
ROUNDINGS = ["rne", "rne", "rtz", "rna", "sr:8"]
MODES = ["e4m3", "e5m2", "e3m2", "e2m3", "e2m1"]


def draw_modes(rng):
    """One unit of several formats: bare, with an accumulator or with an addend."""
    modes = ",".join(rng.sample(MODES, rng.choice([1, 2, 2, 3, 4])))
    kind = rng.choice(["bare", "accumulator", "fused"])
    unit = {"unit": "fused" if kind == "fused" else "multi", "modes": modes, "lanes": rng.choice([2, 4, 6, 8])}
    if kind == "accumulator":
        unit["accumulator"] = rng.choice(["fp32", "fp32", "bf16", "kulisch"])
    else:
        unit["combinational"] = rng.random() < 0.75
    if kind == "fused":
        unit["addend"] = rng.choice(["fp32", "fp32", "bf16"])
        unit["rounding"] = rng.choice(["rne", "rne", "rtz"])
    return unit


def draw(rng):
    """One design as (key, value) pairs."""
    if rng.random() < 0.4:
        return draw_modes(rng)
    family = rng.choices(FAMILIES, [4, 1, 3])[0]
    a = rng.choice(family)
    b = rng.choice(family) if rng.random() < 0.25 else a
    unit = {"a": a, "b": b, "lanes": rng.choice(LANES)}
    if rng.random() < 0.4:
        unit["unit"] = "block-dot"
        unit["combinational"] = rng.random() < 0.75
        return unit
    unit["accumulator"] = rng.choice(ACCUMULATORS)
    unit["output"] = rng.choice(OUTPUTS)
    if unit["accumulator"] in OUTPUTS and rng.random() < 0.7:
        unit["output"] = unit["accumulator"]
    unit["rounding"] = rng.choice(ROUNDINGS)
    unit["max-k"] = rng.choice([256, 4096, 65536])
    return unit


def key(unit):
    """What makes two units alike: elements without their scale, lanes, what is summed into."""
    element = lambda name: name.removeprefix("mx").removeprefix("fp8_").removeprefix("fp6_").removeprefix("fp4_")
    if "modes" in unit:
        return unit["unit"], unit["modes"], unit["lanes"], unit.get("accumulator", unit.get("addend", ""))
    a = unit["a"]
    return element(a), element(unit.get("b", a)), unit["lanes"], unit.get("unit", unit.get("accumulator", "kulisch"))


def calibrated():
    every = lambda value: value if isinstance(value, list) else [value]
    for design in tomllib.loads(CALIBRATION.read_text())["design"]:
        for values in itertools.product(*map(every, design.values())):
            yield key(dict(zip(design, values)))


def text(value):
    return str(value).lower() if isinstance(value, (bool, int)) else f'"{value}"'


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    known = set(calibrated())
    print(f"# Units that the constants of the cost model were not fitted to (docs/estimates.md), drawn by\n"
          f"# python3 scripts/draw_validation.py {seed} {count}\n"
          f"# blockdot synth explore/designs/validation.toml\n"
          f'title = "Validation of the estimates"')
    for i in range(count):
        unit = draw(rng)
        while key(unit) in known:
            unit = draw(rng)
        known.add(key(unit))
        print(f'\n[[design]]\nname = "drawn {i + 1}"\ntechnology = ["osu018", "xilinx"]')
        for name, value in unit.items():
            print(f"{name} = {text(value)}")


main()
