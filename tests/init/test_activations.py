import keras
import numpy as np
import pytest

from tests.init.common import convolutions
from tfsupermask.init import PatchesInit, activations
from tfsupermask.init.activations import Activations
from tfsupermask.init.observing import Trace
from tfsupermask.patches import SAMPLES_PER_IMAGE

IMAGES = np.random.default_rng(0).integers(0, 256, (90, 16, 16, 3), np.uint8)
LABELS = np.arange(90) % 5


def preprocess(images):
    return np.float32(images) / 255


def chain():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="a"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="b"),
            keras.layers.Dropout(0.5),
            keras.layers.Conv2D(6, 3, padding="same", name="c"),
        ]
    )


def branches():
    keras.utils.set_random_seed(0)

    def convolution(x, name):
        x = keras.layers.Conv2D(4, 3, padding="same", name=name)(x)
        return keras.layers.BatchNormalization()(x)

    inputs = keras.Input((16, 16, 3))
    x = convolution(inputs, "stem")
    for number in (1, 2):
        y = keras.layers.ReLU()(convolution(x, f"first{number}"))
        x = keras.layers.Add()([x, convolution(y, f"second{number}")])
    return keras.Model(inputs, convolution(x, "last"))


def traced(model):
    watched = (keras.layers.Conv2D, keras.layers.BatchNormalization)
    layers = [layer for layer in model.layers if isinstance(layer, watched)]
    return Trace(model, layers, preprocess(IMAGES[:1]))


class Computed:
    """Counts images by the layers between whose inputs they went."""

    def __init__(self, monkeypatch):
        self.images = {}
        between = Trace.between

        def counted(trace, start, end):
            function = between(trace, start, end)
            if function is None:
                return None
            names = {
                id(tensor): layer.name
                for layer, tensor in trace.received.items()
                if isinstance(layer, keras.layers.Conv2D)
            }
            key = (names.get(id(start)), names.get(id(end)))

            def call(maps):
                self.images[key] = self.images.get(key, 0) + len(maps)
                return function(maps)

            return call

        monkeypatch.setattr(Trace, "between", counted)


@pytest.mark.parametrize("net", [chain, branches])
@pytest.mark.parametrize("kept", [0, 30_000, 2**30])
def test_maps_are_those_that_the_network_computes(monkeypatch, net, kept):
    monkeypatch.setattr(activations, "_BYTES_KEPT", kept)
    model = net()
    source = Activations(traced(model), IMAGES, preprocess)
    for layer in convolutions(model):
        maps_of = source.before(layer)
        until = keras.Model(model.inputs[0], layer.input)
        expected = until(preprocess(IMAGES)).numpy()
        batches = np.random.default_rng(1).permutation(90)[:60].reshape(6, 10)
        for indices in (batches[0][:1], *batches, *batches[::-1], batches[:, 2]):
            maps = maps_of(indices)
            assert maps.dtype == np.float32
            np.testing.assert_allclose(maps, expected[indices], rtol=1e-5, atol=1e-5)


def test_a_chain_is_walked_once_and_not_rewired(monkeypatch):
    computed = Computed(monkeypatch)
    model = chain()
    num_images = 40
    PatchesInit(num_images * SAMPLES_PER_IMAGE, 10).apply(
        model, IMAGES, LABELS, preprocess
    )
    once = num_images + 1  # one more, to see how large the maps are
    assert computed.images == {("a", "a"): once, ("a", "b"): once, ("b", "c"): once}
    assert {len(layer._inbound_nodes) for layer in model.layers} == {1}


def test_what_is_not_kept_is_computed_for_each_pass(monkeypatch):
    monkeypatch.setattr(activations, "_BYTES_KEPT", 0)
    computed = Computed(monkeypatch)
    model = chain()
    PatchesInit(2000, 10, only=["a"]).apply(model, IMAGES, LABELS, preprocess)
    ((route, count),) = computed.images.items()
    assert route == ("a", "a")
    assert 1 + 2 * 40 < count <= 1 + 2 * 40 + 4  # size, two passes, the chosen four


def test_joined_branches_are_computed_from_where_they_part(monkeypatch):
    computed = Computed(monkeypatch)
    model = branches()
    source = Activations(traced(model), IMAGES, preprocess)
    for layer in convolutions(model):
        source.before(layer)(np.arange(10))
        assert len(source._sources) <= 3  # the images, and the maps of two layers
    assert list(computed.images) == [
        ("stem", "stem"),
        ("stem", "first1"),
        ("first1", "second1"),
        ("first1", "first2"),
        ("first2", "second2"),
        ("first2", "last"),
    ]
    assert set(computed.images.values()) == {10}


@pytest.mark.parametrize("kept", [0, 16 * 16 * 3 * 4 * 7])
def test_keeps_no_more_than_there_is_room_for(monkeypatch, kept):
    monkeypatch.setattr(activations, "_BYTES_KEPT", kept)
    model = chain()
    source = Activations(traced(model), IMAGES, preprocess)
    maps_of = source.before(model.get_layer("a"))
    for _ in range(2):
        maps_of(np.arange(10))
    _, get = source._sources[-1]
    assert get.__self__._values.nbytes == kept
