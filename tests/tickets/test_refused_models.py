"""Models that a ticket cannot hold are refused when they are saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from tests.tickets.trees import RAN, Marker, marker
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDense
from tfsupermask.tickets import load_ticket, save_ticket

pytestmark = pytest.mark.usefixtures("nothing_runs")


def of(*layers, shape=(2,), batch_size=None):
    return keras.Sequential([keras.Input(shape, batch_size=batch_size), *layers])


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = SupermaskDense(3)

    def call(self, inputs):
        return self.dense(inputs)


def subclassed():
    model = Subclass()
    model(np.zeros((1, 2)))
    return model


def shared():
    first = kl.Dense(2, name="first")
    inner_input = keras.Input((2,))
    inner = keras.Model(inner_input, first(inner_input), name="inner")
    inputs = keras.Input((2,))
    return keras.Model(inputs, inner(first(inputs)), name="outer")


def by(function):
    inputs = keras.Input((2,))
    return keras.Model(inputs, function(inputs))


class Unregistered(kl.Layer):
    """Of no package, and of `__main__` as far as Keras knows."""


@keras.saving.register_keras_serializable("keras_hub")
class Composite(kl.Layer):
    """Stands for the layers of other packages, made of many."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = SupermaskDense(2)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


class Unserialisable(kl.Layer):
    """A layer whose config holds what no file can."""

    def get_config(self):
        return {**super().get_config(), "function": object()}


class Failing(kl.Layer):
    """A layer whose config is broken."""

    def get_config(self):
        raise AttributeError("no config")


def local():
    class Local(kl.Layer):
        pass

    return of(Local(name="odd"))


def odd(inputs):
    return inputs


def odd_initializer(shape, dtype=None):
    return keras.ops.ones(shape, dtype)


odd.__module__ = odd_initializer.__module__ = Unregistered.__module__ = "__main__"

ELSEWHERE = r"^The model does not fit in a ticket: `fold` it .*masks as `\.keras`.*"
NO_CONFIG = "`get_config` of plain values.*"
REFUSED = {
    "subclassed": (subclassed, "no model of this class.*Subclass"),
    "lambda": (
        lambda: of(kl.Lambda(tf.abs, name="odd")),
        "fold.*keras.*name='odd'.*keras.layers.Lambda",
    ),
    "class of __main__": (
        lambda: of(Unregistered(name="odd")),
        ELSEWHERE + r"no layer.*name='odd'.*'__main__\.Unregistered'",
    ),
    "local class": (local, ELSEWHERE + r"no layer.*'odd'.*Local.*'Local'"),
    "registered class": (lambda: of(Composite()), ELSEWHERE + "keras_hub>Composite"),
    "class in a wrapper": (
        lambda: of(
            kl.TimeDistributed(Unregistered(name="odd"), name="outer"), shape=(2, 2)
        ),
        ELSEWHERE + "Layer 'outer': A ticket can hold no layer.*'odd'",
    ),
    "own regularizer": (
        lambda: of(kl.Dense(2, kernel_regularizer=odd, name="d")),
        ELSEWHERE + "Layer 'd': A ticket can hold no regularizer.*odd",
    ),
    "no config": (lambda: of(Failing()), NO_CONFIG + "no config"),
    "unserialisable": (lambda: of(Unserialisable()), NO_CONFIG + "Cannot serialize"),
    "stateful": (
        lambda: of(kl.LSTM(2, stateful=True), shape=(2, 2), batch_size=2),
        ELSEWHERE + "no layer that is stateful",
    ),
    "shared": (shared, "two models share.*first.*inner"),
    "constant": (
        lambda: by(lambda inputs: inputs + np.ones(2, np.float32)),
        ELSEWHERE + "tensors of the model, slices",
    ),
    "split": (
        lambda: by(lambda inputs: keras.ops.split(inputs, 2, axis=-1)),
        ELSEWHERE + "no layer of this class.*Split",
    ),
    "unbuilt": (lambda: keras.Sequential([SupermaskDense(2)]), "must be built"),
    "no model": (lambda: SupermaskDense(2), "must be a Keras model"),
}
ACTIVATIONS = {
    "own": (marker, "marker"),
    "of __main__": (odd, "odd"),
    "lambda": (lambda x: x, ""),
    "object": (Marker.call, ""),
}
REFUSED |= {
    f"activation: {name}": (
        lambda function=function: of(kl.Dense(2, activation=function, name="d")),
        ELSEWHERE + f"Layer 'd': An activation must be.*{said}",
    )
    for name, (function, said) in ACTIVATIONS.items()
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("name", REFUSED)
def test_models_that_tickets_cannot_hold_are_refused(name, tmp_path):
    make, message = REFUSED[name]
    model = make()
    RAN.clear()
    with pytest.raises(InputError, match=message):
        save_ticket(model, tmp_path / "a.ticket")
    assert list(tmp_path.iterdir()) == []


def test_unknown_initializers_are_left_out(tmp_path):
    layer = SupermaskDense(
        3,
        kernel_initializer=keras.initializers.Orthogonal(seed=0),
        score_initializer=odd_initializer,
    )
    loaded = load_ticket(save_ticket(of(layer), tmp_path / "a.ticket")).model
    np.testing.assert_array_equal(loaded.layers[0].kernel, layer.kernel * layer.mask)
