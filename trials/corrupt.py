"""Whether damage to tickets and checkpoints, and crashes while saving, are detected.

    python -m trials.corrupt --output=corrupt.json
    python -m trials.corrupt --quick

Single bits are flipped at random, and the files are cut at every length. A damaged
ticket must be refused. In place of a damaged checkpoint the one before must be
restored. Then the disk operations of one save of a checkpoint are logged, and for every
prefix of this log all states are made that a crash could leave. The new checkpoint or
the one before must be restored, and after the last operation the new one.

The program ends with status 1 if a damage is missed.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from benchmarks import _measure
from tests.hostile.crashes import crashes, honest, is_honest
from tests.hostile.tickets import small_ticket
from tfsupermask import InputError
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.tickets import load_ticket

_FLIPS = flags.DEFINE_integer("flips", 10_000, "Bits to flip in each file, one a try.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the places.")


def main():
    """Damages, crashes, counts."""
    print(_measure.describe())
    quick = _measure.QUICK.value
    flips = 500 if quick else _FLIPS.value
    step = 16 if quick else 1
    print(f"seed {_SEED.value}: {flips:,} flips of a bit in each file")
    results = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (whole, detects) in victims(Path(folder)).items():
            rng = np.random.default_rng(_SEED.value)
            for kind, damaged in (
                ("bit flips", flipped(whole, flips, rng)),
                ("truncations", (whole[:n] for n in range(0, len(whole), step))),
            ):
                detected = [detects(each) for each in damaged]
                results[f"{name}, {kind}"] = {
                    "bytes": len(whole),
                    "tried": len(detected),
                    "detected": sum(detected),
                    "missed": detected.count(False),
                }
        for name, first in (("second and later", False), ("first", True)):
            found = crashes(first)
            results[f"crashes while the {name} checkpoint is saved"] = found
    heads = ["damage", "bytes", "tried", "detected", "missed"]
    _measure.print_table(
        heads,
        [[name, *(f"{row[h]:,}" for h in heads[1:])] for name, row in results.items()],
    )
    missed = sum(row["missed"] for row in results.values())
    print(f"\nmissed: {missed}")
    _measure.save({"seed": _SEED.value, "results": results}, draw(results))
    sys.exit(1 if missed else 0)


def victims(folder):
    """Returns files by name, each with a function that says if damage is detected."""
    ticket = folder / "x.ticket"

    def refuses(content):
        ticket.write_bytes(content)
        try:
            load_ticket(ticket)
        except InputError:
            return True
        return False

    checkpoints.save(folder, honest(1))
    path = checkpoints.save(folder, honest(2))

    def recovers(content):
        path.write_bytes(content)
        found = checkpoints.restore_latest(folder)
        return found is not None and found.epoch == 1 and is_honest(found)

    return {
        "a ticket": (small_ticket(), refuses),
        "a checkpoint": (path.read_bytes(), recovers),
    }


def flipped(whole, count, rng):
    """Yields copies of bytes with one bit flipped."""
    for bit in rng.integers(8 * len(whole), size=count):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


def draw(results):
    """Returns a picture of how much was tried and missed."""
    figure = Figure(figsize=(7, 0.5 * len(results) + 1))
    axes = figure.subplots()
    names = list(results)
    axes.barh(names, [results[name]["detected"] for name in names], label="detected")
    axes.barh(names, [results[name]["missed"] for name in names], label="missed")
    axes.set(xscale="symlog", xlabel="damaged files")
    axes.invert_yaxis()
    axes.legend()
    return figure


if __name__ == "__main__":
    _program.start(main)
