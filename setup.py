"""Builds the C++ extensions with CMake; everything else is in pyproject.toml."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent

COMPILER_HINT = (
    "Install one, for example with `apt-get install g++`, `dnf install gcc-c++` or "
    "`xcode-select --install`, or set CXX to its path."
)


def check_compiler():
    """Raises unless there is a C++ compiler for CMake to find."""
    names, none = ("c++", "g++", "clang++"), "none was found on PATH"
    if chosen := os.environ.get("CXX"):
        names = shlex.split(chosen)[:1]
        none = f"CXX={chosen!r} names none that can be run"
    if not any(map(shutil.which, names)):
        raise CompileError(
            "tfsupermask needs a C++17 compiler (g++ or clang++) to build its "
            f"extension; {none}. {COMPILER_HINT}"
        )


def run_cmake(step, *arguments):
    """Runs CMake, whose own output comes before the error."""
    command = [sys.executable, "-m", "cmake", *map(str, arguments)]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise CompileError(
            f"tfsupermask's extension could not be built: CMake failed to {step} it "
            f"(exit status {error.returncode}). Its own messages are above."
        ) from None


class CMakeBuild(build_ext):
    """Has CMake build each extension where setuptools expects it."""

    def build_extension(self, ext):
        """Configures and builds `ext`, a target of CMakeLists.txt."""
        # Imported here since `egg_info` and `sdist` need neither.
        import ninja
        import pybind11

        check_compiler()
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve() / ext.name
        run_cmake(
            "configure",
            *("-S", ROOT, "-B", build, "-G", "Ninja", "--fresh"),
            f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={output.parent}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        )
        run_cmake("compile", "--build", build, "--target", ext.name.split(".")[-1])
        if not output.exists():
            raise CompileError(
                f"tfsupermask's extension was built, but not as {output.name}, the "
                "name that this Python imports."
            )


setup(
    ext_modules=[
        Extension("tfsupermask._core", sources=[]),
        Extension("tfsupermask._tensorflow_ops", sources=[]),
    ],
    cmdclass={"build_ext": CMakeBuild},
)
