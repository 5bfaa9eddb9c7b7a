import keras
import pytest

from tests.tickets import trees
from tfsupermask.layers import SupermaskDense
from tfsupermask.tickets import save_ticket


@pytest.fixture(scope="session")
def small_bytes(tmp_path_factory):
    keras.utils.set_random_seed(0)
    layer = SupermaskDense(3, use_bias=True, name="d")
    model = keras.Sequential([keras.Input((2,), name="i"), layer], name="m")
    path = tmp_path_factory.mktemp("small") / "small.ticket"
    return save_ticket(model, path, class_names=["a", "b", "c"]).read_bytes()


@pytest.fixture
def small(tmp_path, small_bytes):
    """A ticket of a header and little more: of a 2×3 kernel, half of it kept."""
    path = tmp_path / "small.ticket"
    path.write_bytes(small_bytes)
    return path


@pytest.fixture
def nothing_runs():
    """Checks that a test makes and calls nothing that it must not."""
    trees.RAN.clear()
    keras.saving.get_custom_objects().update(trees.SHORT_NAMES)
    yield
    for name in trees.SHORT_NAMES:
        del keras.saving.get_custom_objects()[name]
    assert trees.RAN == []
