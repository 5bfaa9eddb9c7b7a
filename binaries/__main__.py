"""All programs under one name: `tfsupermask train` is `python -m binaries.train`."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from binaries import _program


def programs() -> dict[str, str]:
    """Returns each program's name with the first line of its description."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    return {
        file.stem: ast.get_docstring(ast.parse(file.read_text("utf-8"))).splitlines()[0]
        for file in files
    }


def usage() -> str:
    """Returns what is printed when no program is named."""
    rows = "\n".join(f"  {name:<10}{line}" for name, line in programs().items())
    return (
        f"usage: tfsupermask PROGRAM [--flags]\n\n{rows}\n\n"
        "tfsupermask PROGRAM --help lists the flags of one."
    )


def main() -> None:
    """Runs the program that the first argument names."""
    _program.guarded(_run)


def _run():
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(usage())
    elif name == "--version":
        print(_program.version())
    elif name in programs():
        del sys.argv[1]
        runpy.run_module(f"binaries.{name}", run_name="__main__", alter_sys=True)
    else:
        sys.exit(
            f"error: The program must be one of {', '.join(programs())}. "
            f"Received: {name}"
        )


if __name__ == "__main__":
    main()
