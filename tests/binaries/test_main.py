import subprocess
import sys
from pathlib import Path

import pytest

from binaries import __main__ as main_module

ROOT = Path(__file__).parents[2]


def run(*arguments, package="binaries"):
    return subprocess.run(
        [sys.executable, "-m", package, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_lists_every_program_with_its_first_line():
    names = {path.stem for path in (ROOT / "binaries").glob("[!_]*.py")}
    assert names >= {"train", "evaluate", "predict", "export"}
    assert set(main_module.programs()) == names
    for line in main_module.programs().values():
        assert line.endswith(".")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_says_what_there_is(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert said.startswith("usage: tfsupermask PROGRAM")
    for name in main_module.programs():
        assert f"\n  {name} " in said


def test_the_package_runs_the_programs_too():
    for arguments in [("--help",), ("train", "--version")]:
        by_package = run(*arguments, package="tfsupermask")
        assert by_package.returncode == 0
        assert by_package.stdout == run(*arguments).stdout


def test_an_unknown_program_is_refused_in_one_sentence():
    done = run("trian", "--epochs=1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: The program must be one of "
        f"{', '.join(main_module.programs())}. Received: trian\n"
    )


def test_a_program_gets_its_flags_and_gives_its_exit_status():
    done = run("train", "--model=conv7")
    assert done.returncode == 1
    assert "conv7" in done.stderr
    assert "Traceback" not in done.stderr
    said = run("train", "--help").stdout
    for text in ("--prune", "Sparsity", "--init", "kaiming_normal"):
        assert text in said
