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


def test_importing_the_package_alone_starts_no_framework():
    code = (
        "import sys, tfsupermask, tfsupermask.patches;"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
