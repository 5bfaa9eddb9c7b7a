import subprocess
import sys

import pytest

import tfsupermask


@pytest.mark.parametrize("name", tfsupermask.__all__)
def test_front_door_opens_on_the_parts_own_objects(name):
    found = getattr(tfsupermask, name)
    assert callable(found)
    assert found.__module__.startswith("tfsupermask.")
    assert name in dir(tfsupermask)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'prune'"):
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
