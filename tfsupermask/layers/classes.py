"""The supermask classes: for any layer, made when needed, and those with own names."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops
from keras.saving import get_registered_name
from keras.src.api_export import get_name_from_symbol

from tfsupermask._validation import fail
from tfsupermask.layers.applying import masks_applied
from tfsupermask.layers.mixin import (
    ARGUMENTS,
    SupermaskMixin,
    accepted,
    plain_class,
    with_activation,
)


@keras.saving.register_keras_serializable(package="tfsupermask")
class Supermask(SupermaskMixin):
    """A supermask layer of any class, as `supermask` makes it.

    It takes the arguments of the plain class. Its config holds the plain layer's, so
    that a saved one loads wherever the plain layer does.

    Example:
        >>> isinstance(supermask(keras.layers.LSTM(5)), Supermask)
        True
    """

    def __init__(self, *args, **kwargs):  # all arguments are the plain class's
        super(SupermaskMixin, self).__init__(*args, **kwargs)

    def get_config(self):
        """Holds the plain layer and its masks."""
        base = plain_class(self)
        if not self.config_is_complete:
            raise fail(
                f"A masked {base.__name__} can only be saved whole if `get_config` "
                "mirrors its constructor; save its weights, or `fold` it first.",
                layer=self.name,
            )
        api_name = get_name_from_symbol(base)
        module, name = (api_name or f"{base.__module__}.{base.__name__}").rsplit(".", 1)
        plain = {
            "module": module,
            "class_name": name,
            "config": keras.saving.serialize_keras_object(self.plain_config()),
            "registered_name": None if api_name else get_registered_name(base),
        }
        return {"layer": plain, **self._mask_config()}

    @classmethod
    def from_config(cls, config):
        """Makes the plain layer, then its supermask."""
        mask = {key: config[key] for key in ARGUMENTS if key in config}
        return supermask(keras.saving.deserialize_keras_object(config["layer"]), **mask)

    def __reduce__(self):
        """Pickles by the plain class, because this class is made when it is needed."""
        _, arguments = super().__reduce__()
        return _unpickle, (plain_class(self), *arguments)


def _unpickle(base, *arguments):
    return supermask_class(base)._unpickle_model(*arguments)


def supermask(layer: keras.Layer, **mask) -> keras.Layer:
    """Returns a new layer like a given one that learns which of its weights to keep.

    Any layer is possible: recurrent layers, attention, wrappers, your own layers.

    Args:
        layer: A Keras layer; its weights are not used.
        **mask: The arguments of `SupermaskMixin`.

    Example:
        >>> layer = supermask(keras.layers.LSTM(5, name="lstm"), sparsity=0.9)
        >>> layer(np.ones((2, 7, 3))).shape
        TensorShape([2, 5])
        >>> [weight.name for weight in layer.masked_weights]
        ['lstm/lstm_cell/kernel', 'lstm/lstm_cell/recurrent_kernel']
    """
    if not isinstance(layer, keras.Layer) or isinstance(layer, SupermaskMixin):
        raise fail("`layer` must be a Keras layer without masks.", layer=layer)
    config = accepted(type(layer), layer.get_config())
    make = maker(layer)
    try:
        new = make(config)
    except (TypeError, ValueError):  # of an activation that cannot be serialised
        new = make(with_activation(layer, config))
    new.set_up(**mask)
    return new


# What Keras' layers do not have; `enable_lora` is there to be replaced.
_OF_KERAS = {*dir(keras.layers.Dense), "__annotations__"}
_OURS = {*vars(SupermaskMixin), "score_initializer"} - _OF_KERAS


def maker(layer: keras.Layer) -> Callable[[dict], keras.Layer]:
    """Returns the function that makes a layer like a plain one to mask, of a config."""
    if taken := sorted(_OURS.intersection(dir(layer))):
        skip = "" if isinstance(layer, keras.Model) else ", or `skip` the layer"
        raise fail(
            "A layer to mask must not have attributes with the names that supermask "
            f"layers use: rename them{skip}.",
            layer=layer.name,
            attributes=taken,
        )
    return supermask_class(type(layer)).without_masks


_CLASSES: dict[type[keras.Layer], type[keras.Layer]] = {}


def supermask_class(base: type[keras.Layer]) -> type[keras.Layer]:
    """Returns the supermask class of a class of layers; `supermask` makes its layers.

    Args:
        base: Any class of Keras layers.

    Example:
        >>> supermask_class(keras.layers.Dense).__name__
        'SupermaskDense'
    """
    if base not in _CLASSES:
        # The plain class may have arguments with the names of the mask's.
        members = {"__init__": base.__init__}
        made = type(f"Supermask{base.__name__}", (Supermask, base), members)
        register = keras.saving.register_keras_serializable("tfsupermask", "Supermask")
        register(made)
        register(Supermask)  # which loads saved layers
        _CLASSES[base] = made
    return _CLASSES[base]


def _named(cls):
    """Registers a supermask class with its own name for its plain class."""
    _CLASSES[plain_class(cls)] = cls
    return keras.saving.register_keras_serializable("tfsupermask")(cls)


class _WithoutBias(SupermaskMixin):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"use_bias": False, **kwargs})


@_named
class SupermaskDense(_WithoutBias, keras.layers.Dense):
    """Fully connected layer that learns which of its frozen weights to keep.

    This layer and the convolutions below take the arguments of `SupermaskMixin` and
    those of the plain layer; `use_bias` defaults to `False`.

    Example:
        >>> layer = SupermaskDense(10, sparsity=0.5)
        >>> layer(np.zeros((8, 256))).shape
        TensorShape([8, 10])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """


@_named
class SupermaskConv1D(_WithoutBias, keras.layers.Conv1D):
    """1D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskConv1D(8, 3, sparsity=0.7, padding="causal")
        >>> layer(np.zeros((2, 20, 4))).shape
        TensorShape([2, 20, 8])
    """


@_named
class SupermaskConv2D(_WithoutBias, keras.layers.Conv2D):
    """2D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskConv2D(64, 3, sparsity=0.7, padding="same")
        >>> layer(np.zeros((8, 32, 32, 3))).shape
        TensorShape([8, 32, 32, 64])
        >>> len(layer.trainable_weights), float(tf.reduce_sum(layer.mask))
        (1, 518.0)
    """


@_named
class SupermaskConv3D(_WithoutBias, keras.layers.Conv3D):
    """3D convolution that learns which of its frozen weights to keep.

    Example:
        >>> SupermaskConv3D(8, 3, sparsity=0.5)(np.zeros((2, 6, 6, 6, 1))).shape
        TensorShape([2, 4, 4, 4, 8])
    """


@_named
class SupermaskConv2DTranspose(_WithoutBias, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskConv2DTranspose(4, 3, strides=2, padding="same")
        >>> layer(np.zeros((8, 16, 16, 8))).shape
        TensorShape([8, 32, 32, 4])
    """


@_named
class SupermaskDepthwiseConv2D(_WithoutBias, keras.layers.DepthwiseConv2D):
    """Depthwise 2D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskDepthwiseConv2D(3, sparsity=0.5, padding="same")
        >>> layer(np.zeros((8, 32, 32, 16))).shape, float(tf.reduce_sum(layer.mask))
        (TensorShape([8, 32, 32, 16]), 72.0)
    """


@_named
class SupermaskSeparableConv2D(_WithoutBias, keras.layers.SeparableConv2D):
    """Depthwise, then 1×1 convolution, each with its own mask and sparsity.

    Example:
        >>> layer = SupermaskSeparableConv2D(32, 3, sparsity=(0.0, 0.5))
        >>> layer(np.zeros((8, 32, 32, 16))).shape
        TensorShape([8, 30, 30, 32])
        >>> [float(tf.reduce_sum(weight.mask)) for weight in layer.masked_weights]
        [144.0, 256.0]
    """


@_named
class SupermaskSpectralNormalization(
    SupermaskMixin, keras.layers.SpectralNormalization
):
    """Spectral normalisation of a masked kernel, in evaluation as in training.

    The plain layer stores the normalised kernel during training. A masked kernel stays
    as it is and is normalised at each use.

    Example:
        >>> dense = keras.layers.Dense(4)
        >>> layer = SupermaskSpectralNormalization(dense, sparsity=0.5)
        >>> layer(np.ones((2, 8))).shape
        TensorShape([2, 4])

    Reference:
        - Miyato et al., 2018, "Spectral normalization for GANs".
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)

    def call(self, inputs, training=False):
        """Computes what the layer inside computes with the normalised kernel."""
        with masks_applied(self.masked_weights, self):
            if not training:
                self.kernel.assign(self.normalized_weights()[1])
            return super().call(inputs, training=training)

    def effective_kernels(self):
        """Returns the normalised masked kernel."""
        with masks_applied(self.masked_weights):
            return [ops.convert_to_tensor(self.normalized_weights()[1])]
