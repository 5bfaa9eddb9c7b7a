import keras
import pytest

from tests.tickets import trees


@pytest.fixture
def small(tmp_path):
    """A ticket of a header and little more: of a 2×3 kernel, half of it kept."""
    path = tmp_path / "small.ticket"
    path.write_bytes(trees.small_ticket())
    return path


@pytest.fixture
def nothing_runs():
    """Checks that a test makes and calls nothing that it must not."""
    trees.small_ticket()
    trees.RAN.clear()
    keras.saving.get_custom_objects().update(trees.SHORT_NAMES)
    yield
    for name in trees.SHORT_NAMES:
        del keras.saving.get_custom_objects()[name]
    assert trees.RAN == []
