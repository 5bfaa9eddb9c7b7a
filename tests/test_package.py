import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tfsupermask

PACKAGES = ["tfsupermask"] + [
    package.name
    for package in pkgutil.walk_packages(tfsupermask.__path__, "tfsupermask.")
    if package.ispkg
]
PARTS = [name.split(".")[1] for name in PACKAGES if name.count(".") == 1]


@pytest.mark.parametrize("name", sorted({*tfsupermask.__all__, *PARTS}))
def test_front_door_opens_on_the_parts_and_their_objects(name):
    found = getattr(tfsupermask, name)
    if name in PARTS:
        assert found is sys.modules[f"tfsupermask.{name}"]
    elif name != "__version__":
        assert found.__module__.startswith("tfsupermask.")
    assert name in dir(tfsupermask)


def test_version_is_that_of_the_distribution():
    root = Path(tfsupermask.__file__).parents[1]
    assert tfsupermask.__version__ == importlib.metadata.version("tfsupermask")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {tfsupermask.__version__}\n" in citation


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_of_a_package_is_there(name):
    package = importlib.import_module(name)
    for public in getattr(package, "__all__", ()):
        assert hasattr(package, public)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="No tfsupermask attribute prune"):
        tfsupermask.prune  # noqa: B018


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import tfsupermask, tfsupermask.patches", {"keras", "tensorflow"}),
        (
            "from tfsupermask import _machine; _machine.processor()",
            {"keras", "tensorflow", "numpy"},
        ),
        (
            "import tfsupermask.data",
            {"keras", "tensorflow", "tensorflow_datasets", "sklearn", "requests"},
        ),
    ],
)
def test_importing_a_part_starts_nothing_heavy(code, unwanted):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not unwanted & set(done.stdout.split())
