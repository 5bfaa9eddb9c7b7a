"""The mixin that puts the kernels of a Keras layer under masks."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import numbers
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.utils.python_utils import is_default

from tfsupermask._validation import check_fraction, check_integer, fail
from tfsupermask.layers.applying import functions_untraced, masks_applied
from tfsupermask.layers.kernels import MaskVariables, is_kernel, kernels_of, weights_in
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.layers.methods import OF_RANKING, Method, get_method
from tfsupermask.ops import derive_seed

MARK = "mask_method"
ARGUMENTS = ("sparsity", "method", "score_initializer", "kernels")


class SupermaskMixin:
    """Puts a Keras layer's kernels under masks and learns which weights to keep.

    Put it before any Keras layer, or let `supermask_class` do so. The kernels of the
    layer and of the layers inside it become non-trainable, and float32 scores of the
    same shapes are trained instead; some methods train the kernels. The layer's own
    forward pass then sees kernels in which all but the best ranked weights are zero.

    Args:
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5. Layers
            with several kernels also take a sequence: a number for each, or `None` to
            train it as usual. It may be set at any time, also for compiled functions,
            unless the method fixes it. The method `"dense"` ignores it.
        method: How weights are selected, and whether scores or kernels are trained: a
            `Method` or a name in `method_names()`. Defaults to `"edge_popup"`.
        score_initializer: Keras initializer of the scores. Defaults to Kaiming-uniform
            with a = √5, that is U(-1/√fan_in, 1/√fan_in). For stochastic masks, its
            values are added to the score of probability 1 - `sparsity`, and an integer
            seed makes the draws of the masks repeatable.
        kernels: Positions of the kernels among the layer's weights. Defaults to the
            weights that `is_kernel` accepts.

    Raises:
        InputError: An argument is not as above, or the layer uses LoRA or a quantized
            dtype policy, which would bypass the mask.

    Example:
        >>> class MaskedDense(SupermaskMixin, keras.layers.Dense):
        ...     pass
        >>> MaskedDense(10, sparsity=0.9)(np.ones((8, 100))).shape
        TensorShape([8, 10])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020, "What's hidden in a randomly weighted
          neural network?".
    """

    _mask_sparsity = None  # until `set_up`
    config_is_complete = True
    _mask_weights: Sequence[MaskedWeight] = ()

    def __init__(
        self,
        *args,
        sparsity=0.5,
        method="edge_popup",
        score_initializer=None,
        kernels=None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.set_up(sparsity, method, score_initializer, kernels)

    def set_up(
        self, sparsity=0.5, method="edge_popup", score_initializer=None, kernels=None
    ) -> None:
        """Takes the mask's arguments; makes the masks if the layer is built."""
        self._mask_sparsity = _check_sparsity(sparsity)
        self._mask_method = get_method(method)
        self.score_initializer = keras.initializers.get(score_initializer)
        if kernels is not None:
            if not isinstance(kernels, (list, tuple)):
                raise fail(
                    "`kernels` must be a sequence of positions.", kernels=kernels
                )
            kernels = tuple(check_integer("kernels", each) for each in kernels)
            if isinstance(sparsity, (list, tuple)) and len(sparsity) == len(kernels):
                order = sorted(range(len(kernels)), key=kernels.__getitem__)
                self._mask_sparsity = [sparsity[index] for index in order]
            kernels = tuple(sorted(kernels))
        self._mask_positions = kernels
        if self.built:
            self.build_masks(wait=False)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # Keras inspects these methods for a layer's arguments, and for its own `build`.
        for name in ("build", "call", "get_config"):
            base = getattr(super(), name, None)
            if base is not None and name not in vars(cls):
                setattr(cls, name, _like(base, getattr(cls, name)))

    def build(self, *args, **kwargs):
        """Creates the weights, freezes the kernels, and creates their scores."""
        if getattr(self, "quantization_mode", None) is not None:
            raise fail(
                f"Layer '{self.name}' has no quantized form: fold the model first.",
                dtype=self.dtype_policy.name,
            )
        super().build(*args, **kwargs)
        self.build_masks()

    def build_from_config(self, config):
        """Builds the layer as it was built before it was saved."""
        super().build_from_config(config)
        self.build_masks(wait=not self._runs(config or {}))

    def _runs(self, config):
        """Returns whether a call ran, so that the layers it needs are built."""
        if self._mask_sparsity is None or not self._unbuilt():
            return False
        if "shapes_dict" in config:
            return self._build_by_run_for_kwargs(config["shapes_dict"])
        shape = config.get("input_shape")
        return bool(shape) and self._build_by_run_for_single_pos_arg(shape)

    def build_masks(self, wait: bool = True) -> None:
        """Creates the masks; if a layer inside is not built, at the first call."""
        if (
            self._mask_weights
            or self._mask_sparsity is None
            or (wait and self._unbuilt())
        ):
            return
        positions = self._mask_positions
        kernels = kernels_of(self, is_kernel if positions is None else positions)
        if positions and len(kernels) < len(positions):
            raise fail(
                f"`kernels` must be positions among the {len(weights_in(self))} "
                f"weights of layer '{self.name}'.",
                kernels=positions,
            )
        if not kernels:
            return
        self._mask_sparsity = _spread(self._mask_sparsity, len(kernels))
        with self._open_name_scope():
            weights = [
                MaskedWeight(self, kernel, sparsity, self._score_initializer_of(index))
                for index, (kernel, sparsity) in enumerate(
                    zip(kernels, self._mask_sparsity, strict=True)
                )
                if sparsity is not None
            ]
        object.__setattr__(self, "_mask_weights", weights)  # Keras would track a list
        for weight in weights:
            _give(weight.owner, weight.variables, self.trainable)
            if weight.owner is not self:  # a plain layer, which would take both
                weight.owner.enable_lora = self.enable_lora
                weight.owner.quantize = weight.variables.quantize
        for layer in self._flatten_layers(include_self=False):
            inside = layer._flatten_layers()
            own = [weight for weight in weights if weight.owner in inside]
            if own:
                layer.call = _masked(layer, own)

    def _score_initializer_of(self, index):
        """Returns what draws a kernel's scores: Keras' own repeat their values."""
        initializer = self.score_initializer
        if index and isinstance(getattr(initializer, "seed", None), int):
            initializer = copy.copy(initializer)
            initializer.seed = derive_seed(initializer.seed, "score", index)
        return initializer

    @property
    def masked_weights(self) -> list[MaskedWeight]:
        """The masked kernels with their scores; empty until the layer is built."""
        return list(self._mask_weights)

    def call(self, *args, **kwargs):
        """Computes the layer's outputs with its masked kernels."""
        if self.built and not self.masked_weights and self._unbuilt():
            # The layer's own call builds the layers that `build` has not.
            with functions_untraced():
                keras.src.backend.compute_output_spec(super().call, *args, **kwargs)
            self.build_masks(wait=False)
        if self._mask_sparsity is None or (not self._mask_weights and self._unbuilt()):
            context = functions_untraced()  # its masks are to come
        else:
            context = masks_applied(self.masked_weights, self)
        with context:
            return super().call(*args, **kwargs)

    def _unbuilt(self):
        """Returns the layers inside that are not built, except an activation."""
        inside = self._flatten_layers(include_self=False)
        activation = getattr(self, "activation", None)
        return [each for each in inside if not each.built and each is not activation]

    def effective_kernels(self) -> list[tf.Tensor]:
        """Returns the kernels that evaluation uses, one for each masked weight."""
        return [weight.effective() for weight in self.masked_weights]

    @property
    def method(self) -> Method:
        """The method that selects the weights."""
        return self._mask_method

    @property
    def sparsity(self) -> float | tuple[float | None, ...]:
        """Fraction of the weights removed, in [0, 1); a tuple if kernels differ.

        It may be set: to one number, or to one for each kernel.
        """
        if not self.masked_weights:
            return self._mask_sparsity
        each = iter(self.masked_weights)
        values = tuple(
            s if s is None else next(each).sparsity for s in self._mask_sparsity
        )
        return values[0] if len(set(values)) == 1 else values

    @sparsity.setter
    def sparsity(self, value: float | Sequence[float | None]) -> None:
        _check_sparsity(value)
        if not self.masked_weights:
            self._mask_sparsity = value
            return
        values = _spread(value, len(self._mask_sparsity))
        masked = [old is not None for old in self._mask_sparsity]
        if values is value and masked != [new is not None for new in values]:
            raise fail(
                "`sparsity` must be `None` for the kernels without a mask alone.",
                sparsity=value,
                before=self.sparsity,
            )
        values = itertools.compress(values, masked)
        wanted = [*zip(self.masked_weights, values, strict=True)]
        for weight, each in wanted:
            weight.check_sparsity(each)
        for weight, each in wanted:
            weight.sparsity = each

    @property
    def trainable(self) -> bool:
        """Whether anything is trained; kernels are only if the method trains them."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        super(SupermaskMixin, type(self)).trainable.fset(self, value)
        for weight in self.masked_weights:
            # Keras passes over inner layers that were made after this one was frozen.
            weight.variables.trainable = value
            weight.freeze()

    @property
    def num_weights(self) -> int:
        """Number of weights in the masked kernels."""
        return sum(weight.num_weights for weight in self.masked_weights)

    @property
    def num_kept(self) -> int:
        """Number of weights kept in the masked kernels."""
        return sum(weight.num_kept for weight in self.masked_weights)

    @property
    def realised_sparsity(self) -> float:
        """Fraction of the kernels' weights that masks remove, after rounding."""
        return 1 - self.num_kept / self.num_weights if self.num_weights else 0.0

    @property
    def score(self) -> keras.Variable:
        """The scores of a layer with one kernel, see `MaskedWeight.score`."""
        return self._only_weight().score

    @property
    def mask(self) -> tf.Tensor:
        """The factors of the kernel in evaluation, in a layer with one kernel."""
        return self._only_weight().mask

    def masked_kernel(self) -> tf.Tensor:
        """Returns kernel · mask for the only kernel, see `MaskedWeight.masked`."""
        return self._only_weight().masked()

    def _only_weight(self):
        weights = self.masked_weights
        if len(weights) != 1:
            # After an `AttributeError` Python would look for the name elsewhere.
            raise fail(
                f"Layer '{self.name}' must be built and have one mask: look in its "
                "`masked_weights`.",
                kernels=[weight.name for weight in weights],
            )
        return weights[0]

    def enable_lora(self, rank, *args, **kwargs):
        """Refuses: an addition to the kernel would have no mask and not be saved."""
        raise fail(
            f"Layer '{self.name}' cannot use LoRA: fold the model first.", rank=rank
        )

    def save_own_variables(self, store):
        """Stores the method too: layers with other scores or none must refuse these."""
        super().save_own_variables(store)
        if self.masked_weights:
            store[MARK] = np.frombuffer(self.method.name.encode(), np.uint8)

    def load_own_variables(self, store):
        """Reads what Keras stored, or an older file with names such as "score"."""
        store = {key: store[key] for key in list(store.keys())}
        name = np.asarray(store.pop(MARK, ()), np.uint8).tobytes().decode()
        if name and self.method.has_scores and name != self.method.name:
            raise fail(
                f"The weights for layer '{self.name}' must be of its method, "
                f"'{self.method.name}'.",
                method=name,
            )
        by_name = {
            weight.kernel.name.replace("kernel", "score"): weight
            for weight in self.masked_weights
        }
        old = by_name and by_name.keys() <= store.keys() and "0" not in store
        if not old or any("score" not in name for name in by_name):
            super().load_own_variables(store)
            return
        for variable in [*self._trainable_variables, *self._non_trainable_variables]:
            variable.assign(store[variable.name])
        for name, weight in by_name.items():
            weight.score.assign(store[name])
            weight.variables.read_by_name = True

    def get_config(self):
        """Mirrors the constructor."""
        return {**self.plain_config(), **self._mask_config()}

    def plain_config(self):
        """Returns the config of the same layer without masks."""
        return accepted(plain_class(self), super().get_config())

    def mask_arguments(self):
        """Returns the arguments of `set_up` that make masks like the layer's."""
        arguments = {
            "sparsity": self.sparsity,
            "method": self.method,
            "score_initializer": self.score_initializer,
        }
        if self._mask_positions is not None:
            arguments["kernels"] = self._mask_positions
        return arguments

    def _mask_config(self):
        initializer = keras.initializers.serialize(self.score_initializer)
        return {
            **self.mask_arguments(),
            "method": self.method.name,
            "score_initializer": initializer,
        }

    @classmethod
    def from_config(cls, config):
        """Makes the layer from a config, also from one of an older version."""
        config = dict(config)
        mask = {key: config.pop(key) for key in ARGUMENTS if key in config}
        if "ranking" in config:
            ranking = config.pop("ranking")
            mask["method"] = OF_RANKING.get(ranking, ranking)
        layer = cls.without_masks(config)
        layer.set_up(**mask)
        return layer

    @classmethod
    def without_masks(cls, config):
        """Makes the layer from its plain class's config; `set_up` gives it masks."""
        layer = super().from_config(dict(config))
        if not isinstance(layer, cls):
            raise fail(
                "`from_config` must make a layer of the class that it is called for.",
                layer_class=type(layer).__name__,
            )
        layer._mask_sparsity = None
        return layer


def plain_class(layer: keras.Layer | type[keras.Layer]) -> type[keras.Layer]:
    """Returns the class of a layer without its masks.

    Args:
        layer: A layer, or a class of layers.

    Example:
        >>> plain_class(SupermaskDense(3)).__name__
        'Dense'
    """
    classes = (layer if isinstance(layer, type) else type(layer)).__mro__
    return next(each for each in classes if not issubclass(each, SupermaskMixin))


def accepted(cls: type[keras.Layer], config: dict[str, Any]) -> dict[str, Any]:
    """Returns a plain class's config without what its own constructor refuses."""
    own = inspect.signature(cls.__init__).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in own):
        everything = is_default(cls.get_config)  # what Keras adds to a default config
        names = {each.name for each in own} if everything else config.keys()
        return {key: value for key, value in config.items() if key in names}
    known = _arguments_of(cls)
    if not known.issuperset(config):
        try:
            cls.from_config(dict(config))
        except (TypeError, ValueError):
            return {key: value for key, value in config.items() if key in known}
    return config


def with_activation(layer: keras.Layer, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the config with the activation itself, as some cannot be serialised."""
    activation = getattr(layer, "activation", None)
    takes_it = "activation" in config or "activation" in _arguments_of(type(layer))
    if takes_it and isinstance(activation, types.FunctionType):
        return {**config, "activation": activation}
    return config


def _arguments_of(cls):
    """Returns the arguments of a constructor, and of those that it passes others to."""
    names = set()
    for each in cls.__mro__:
        parameters = inspect.signature(each.__init__).parameters
        names |= parameters.keys()
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            break
    return names


def _give(owner, variables, trainable):
    """Lets a kernel's layer hold its mask, which is then saved and frozen with it."""
    # A model counts as built before its `build` ends.
    owner._tracker.unlock()
    count = sum(isinstance(layer, MaskVariables) for layer in owner._layers)
    # As an attribute each, because TensorFlow's checkpoints do not look into lists.
    setattr(owner, f"_mask_{count}", variables)
    variables.trainable = trainable and owner.trainable
    if owner.built:
        owner._lock_state()


def _masked(layer, weights):
    """Returns the call of an inner layer with its masks applied."""
    call = layer.call

    @functools.wraps(call)
    def masked_call(*args, **kwargs):
        with masks_applied(weights, layer):
            return call(*args, **kwargs)

    return masked_call


def _check_sparsity(sparsity):
    several = isinstance(sparsity, (list, tuple))
    for each in sparsity if several else [sparsity]:
        if each is not None or not several:
            check_fraction("sparsity", each)
    return sparsity


def _spread(sparsity, count):
    """Returns a sparsity for each of `count` kernels."""
    values = [sparsity] * count if isinstance(sparsity, numbers.Real) else sparsity
    if len(values) != count:
        raise fail(
            f"`sparsity` must be one number or {count}, one a kernel.",
            sparsity=sparsity,
        )
    return values


def _like(base, ours):
    @functools.wraps(base)
    def method(self, *args, **kwargs):
        return ours(self, *args, **kwargs)

    method.__doc__ = ours.__doc__
    method.of_masks = True
    return method
