"""Runs every entry point of the C++ core on random bytes under the sanitizers.

    python -m trials.fuzz --runs=10_000_000 --presets=asan,ubsan --compiler=clang++
    python -m trials.fuzz --quick

Builds the fuzz targets of csrc/fuzz with CMake's presets. With clang, libFuzzer looks
for new paths through the code; with another compiler, inputs are random changes of the
corpus. The corpus in csrc/fuzz/corpus is always replayed. The targets compare results
with their definitions, so that a wrong result is a finding, as a sanitizer's report is.
The program ends with status 1 if there are findings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags

from benchmarks import _measure
from binaries import _program

_RUNS = flags.DEFINE_integer("runs", 1_000_000, "Executions of each target.", 1)
_PRESETS = flags.DEFINE_list("presets", ["asan", "ubsan", "tsan"], "CMake's presets.")
_TARGETS = flags.DEFINE_list("targets", [], "Targets; default: all.")
_COMPILER = flags.DEFINE_string("compiler", None, "C++ compiler; default: CMake's.")
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the changes.", 1)
_JOBS = flags.DEFINE_integer("jobs", os.cpu_count(), "Targets at a time.", 1)
_KEEP = flags.DEFINE_string("keep", None, "Folder for inputs that reach new code.")

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 4096


def build(preset):
    """Builds the targets of a preset; returns their paths by name."""
    configure = ["cmake", "--preset", preset]
    if _COMPILER.value:
        configure.append(f"-DCMAKE_CXX_COMPILER={_COMPILER.value}")
    for command in configure, ["cmake", "--build", "--preset", preset]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"error: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    folder = ROOT / "build" / preset
    return {
        path.name.removeprefix("fuzz_"): path
        for path in sorted(folder.glob("fuzz_*"))
        if path.is_file() and os.access(path, os.X_OK)
    }


def fuzz(name, path, runs, scratch):
    """Runs one target; returns seconds, inputs in its corpus and what was found."""
    corpus = Path(scratch, name)
    corpus.mkdir()
    kept = ROOT / "csrc" / "fuzz" / "corpus" / f"{name}.zip"
    if kept.is_file():
        shutil.unpack_archive(kept, corpus)
    start = time.perf_counter()
    done = subprocess.run(
        [
            path,
            f"-runs={runs}",
            f"-seed={_SEED.value}",
            f"-max_len={MAX_BYTES}",
            corpus,
        ],
        cwd=scratch,
        capture_output=True,
        text=True,
        errors="replace",
    )
    seconds = time.perf_counter() - start
    found = "" if done.returncode == 0 else done.stderr[-3000:]
    if _KEEP.value:
        shutil.copytree(corpus, Path(_KEEP.value, name), dirs_exist_ok=True)
    return seconds, sum(1 for _ in corpus.iterdir()), found


def main():
    """Builds, runs, prints a table and every finding."""
    runs = 5_000 if _measure.QUICK.value else _RUNS.value
    rows, findings = [], []
    for preset in _PRESETS.value:
        targets = build(preset)
        names = _TARGETS.value or list(targets)
        with (
            tempfile.TemporaryDirectory() as scratch,
            ThreadPoolExecutor(_JOBS.value) as pool,
        ):
            jobs = [pool.submit(fuzz, n, targets[n], runs, scratch) for n in names]
            for name, job in zip(names, jobs, strict=True):
                seconds, inputs, found = job.result()
                row = [f"{name}, {preset}", f"{runs:,}", str(inputs)]
                row += ["FOUND" if found else "none", f"{runs / seconds:,.0f}"]
                rows.append(row)
                if found:
                    findings.append(f"{name}, {preset}:\n{found}")
    heads = ["target, sanitizer", "executions", "corpus", "findings", "a second"]
    _measure.print_table(heads, rows)
    for finding in findings:
        print(f"\n{finding}")
    sys.exit(bool(findings))


if __name__ == "__main__":
    _program.start(main)
