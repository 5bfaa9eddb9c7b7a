"""Supermask layers of any class, made when they are needed."""

from __future__ import annotations

import functools

import keras
from keras.saving import get_registered_name
from keras.src.api_export import get_name_from_symbol

from tfsupermask._validation import fail
from tfsupermask.layers.mixin import ARGUMENTS, SupermaskMixin, accepted, plain_class


@keras.saving.register_keras_serializable(package="tfsupermask")
class Supermask(SupermaskMixin):
    """A supermask layer of any class, as `supermask` makes it.

    Its config holds the plain layer's, so that a saved one loads wherever the plain
    layer does.

    Args:
        *args: Those of the plain class.
        **kwargs: Those of the plain class.

    Example:
        >>> isinstance(supermask(keras.layers.LSTM(5)), Supermask)
        True
    """

    def __init__(self, *args, **kwargs):  # what plain classes take is all their own
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
        """Pickles by the plain class, as this one is made when it is needed."""
        _, arguments = super().__reduce__()
        return _unpickle, (plain_class(self), *arguments)


def _unpickle(base, *arguments):
    return supermask_class(base)._unpickle_model(*arguments)


def supermask(layer: keras.Layer, **mask) -> keras.Layer:
    """Returns a new layer like a given one, which learns what weights to keep.

    Any layer will do: recurrent ones, attention, wrappers, those of your own.

    Args:
        layer: A Keras layer, whose weights do not matter.
        **mask: The arguments of `SupermaskMixin`: `sparsity`, `method`,
            `score_initializer`.

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
    new = supermask_class(type(layer)).without_masks(config)
    new.set_up(**mask)
    return new


_NAMED: dict[type[keras.Layer], type[keras.Layer]] = {}


def named(cls: type[keras.Layer]) -> type[keras.Layer]:
    """Registers the supermask class that stands for a plain class by a name."""
    _NAMED[plain_class(cls)] = cls
    return keras.saving.register_keras_serializable("tfsupermask")(cls)


@functools.cache
def supermask_class(base: type[keras.Layer]) -> type[keras.Layer]:
    """Returns the supermask class of a class of layers; `supermask` makes its layers.

    Args:
        base: Any class of Keras layers.

    Example:
        >>> supermask_class(keras.layers.Dense).__name__
        'SupermaskDense'
    """
    if base in _NAMED:
        return _NAMED[base]
    # What the plain class takes may be called like the mask's arguments.
    members = {"__init__": base.__init__}
    made = type(f"Supermask{base.__name__}", (Supermask, base), members)
    register = keras.saving.register_keras_serializable("tfsupermask", "Supermask")
    register(made)
    register(Supermask)  # whoever loads one of them is to find this class
    return made
