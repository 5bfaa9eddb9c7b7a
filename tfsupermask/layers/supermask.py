"""What turns a Keras layer with a kernel into a supermask layer."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfsupermask._validation import check_choice, check_fraction, fail
from tfsupermask.layers.kernels import kernels_of
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.ops import masking


class SupermaskMixin:
    """Freezes a Keras layer's kernels and learns which of their weights to keep.

    Put it before a Keras layer that creates its kernels in `build`. A kernel becomes
    non-trainable; a float32 weight `score` of the same shape is trained instead
    (`depthwise_score` for a `depthwise_kernel`, and so on). The layer's forward pass
    has to use `masked_kernel()`, the kernel with all but its best ranked weights set to
    zero, in place of `kernel`.

    Args:
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5. Layers
            with two kernels also take a pair. It may be assigned to at any time;
            compiled functions follow.
        ranking: How scores select weights. `"magnitude"` (default) keeps the largest
            `|score|`, `"score"` the largest score. `"signed"` keeps the largest
            `|score|` and inverts the weights whose score is negative.
            `"stochastic"` keeps each weight with probability sigmoid(score) while the
            mask is drawn, by `MaskDraws` in `model.fit`; otherwise those above a half.
            Those are multiplied by (weights / weights kept). `sparsity` only says where
            the probabilities start; 0 keeps all weights.
        score_initializer: Keras initializer of the scores. Defaults to Kaiming-uniform
            with a = √5, that is U(-1/√fan_in, 1/√fan_in). Of stochastic masks its draw
            is added to the score of probability 1 - `sparsity`, and an integer as its
            seed makes the masks' draws repeatable.
        use_bias: Whether to add a bias, which is trained. Defaults to `False`, so that
            the score is all that is trained.

    Raises:
        InputError: `sparsity` or `ranking` is not as above, or LoRA or a quantized
            dtype policy is asked for: both would bypass the mask.

    Example:
        >>> class MaskedDense(SupermaskMixin, keras.layers.Dense):
        ...     def call(self, inputs):
        ...         product = keras.ops.matmul(inputs, self.masked_kernel())
        ...         return self.add_bias_and_activate(product)
        >>> MaskedDense(10, sparsity=0.9)(np.ones((8, 100))).shape
        TensorShape([8, 10])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020, "What's hidden in a randomly weighted
          neural network?".
        - Koster et al., 2022, "Signing the supermask: keep, hide, invert".
        - Zhou et al., 2019, "Deconstructing lottery tickets: zeros, signs, and the
          supermask".
    """

    def __init__(
        self,
        *args,
        sparsity=0.5,
        ranking="magnitude",
        score_initializer=None,
        use_bias=False,
        **kwargs,
    ):
        super().__init__(*args, use_bias=use_bias, **kwargs)
        self._sparsities = {}
        self.sparsity = sparsity
        self.ranking = check_choice("ranking", ranking, masking.SELECTIONS)
        self.score_initializer = keras.initializers.get(score_initializer)

    @property
    def masked_weights(self) -> list[MaskedWeight]:
        """The layer's kernels, each with its scores and its own number kept."""
        return [MaskedWeight(self, kernel.attribute) for kernel in kernels_of(self)]

    @property
    def sparsity(self) -> float | tuple[float, ...]:
        """Fraction of the weights removed, in [0, 1); a pair if they differ.

        It may be assigned to: one number, or one for each kernel.
        """
        values = tuple(self._sparsities.values())
        return values[0] if len(set(values)) == 1 else values

    @sparsity.setter
    def sparsity(self, value: float | tuple[float, ...]) -> None:
        weights = self.masked_weights
        several = isinstance(value, (tuple, list)) and len(weights) > 1
        values = list(value) if several else [value] * len(weights)
        if len(values) != len(weights):
            raise fail(
                f"`sparsity` must be one number or {len(weights)}, one a kernel.",
                sparsity=value,
            )
        for each in values:
            check_fraction("sparsity", each)
        for weight, each in zip(weights, values, strict=True):
            weight.sparsity = each

    @property
    def trainable(self) -> bool:
        """Whether the score and the bias are trained; the kernel never is."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        super(SupermaskMixin, type(self)).trainable.fset(self, value)
        if self.built:
            for weight in self.masked_weights:
                weight.kernel.trainable = False

    def build(self, input_shape):
        """Creates the frozen kernels and their scores.

        Args:
            input_shape: Shape of the inputs, the batch included.

        Raises:
            InputError: The layer's dtype policy is a quantized one.
        """
        if getattr(self, "quantization_mode", None) is not None:
            raise fail(
                f"Layer '{self.name}' has no quantized form: fold the model first.",
                dtype=self.dtype_policy.name,
            )
        super().build(input_shape)
        self.built = True
        for weight in self.masked_weights:
            weight.build()

    @property
    def num_weights(self) -> int:
        """Number of weights in the kernels."""
        return sum(weight.num_weights for weight in self.masked_weights)

    @property
    def num_kept(self) -> int:
        """Number of weights that survive in the kernels."""
        return sum(weight.num_kept for weight in self.masked_weights)

    @property
    def realised_sparsity(self) -> float:
        """Fraction of the kernels' weights that masks remove, after rounding."""
        return 1 - self.num_kept / self.num_weights

    @property
    def mask(self) -> tf.Tensor:
        """What evaluation multiplies the kernel with, see `MaskedWeight.mask`.

        Raises:
            InputError: The layer has several, see `masked_weights`.
        """
        return self._only_weight().mask

    def masked_kernel(self) -> tf.Tensor:
        """Returns kernel · mask in the compute dtype, differentiable in the scores.

        Raises:
            InputError: The layer has several, see `masked_weights`.
        """
        return self._only_weight().masked()

    def _only_weight(self):
        weights = self.masked_weights
        if len(weights) > 1:
            raise fail(
                f"Layer '{self.name}' has several masks: look in its `masked_weights`.",
                kernels=[weight.attribute for weight in weights],
            )
        return weights[0]

    def add_bias_and_activate(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns what follows the product with the kernels in the forward pass.

        Args:
            outputs: That product, channels where the layer has them.
        """
        if self.bias is not None:
            spatial = getattr(self, "rank", 0)
            first = getattr(self, "data_format", None) == "channels_first"
            shape = (1, -1) + (1,) * spatial if first else (-1,)
            outputs = keras.ops.add(outputs, keras.ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)

    def enable_lora(self, rank, *args, **kwargs):
        """Refuses: the kernel is frozen, and what is added to it is not saved.

        Raises:
            InputError: Always.
        """
        raise fail(
            f"Layer '{self.name}' cannot use LoRA: fold the model first.", rank=rank
        )

    def _own_variables(self):
        variables = {}
        for weight in self.masked_weights:
            variables[weight.attribute] = weight.kernel
            variables[weight.score_attribute] = weight.score
        return variables if self.bias is None else {**variables, "bias": self.bias}

    def save_own_variables(self, store):
        """Stores kernels, scores and bias by name.

        Args:
            store: Where to, a mapping from names.
        """
        if self.built:
            for name, variable in self._own_variables().items():
                store[name] = variable

    def load_own_variables(self, store):
        """Reads kernels, scores and bias by name.

        Args:
            store: Arrays by name, as `save_own_variables` stored them.

        Raises:
            InputError: Other names are stored than the layer has.
        """
        variables = self._own_variables() if self.built else {}
        if sorted(store.keys()) != sorted(variables):
            raise fail(
                f"Layer '{self.name}' must be stored as {sorted(variables)}.",
                stored=sorted(store.keys()),
            )
        for name, variable in variables.items():
            variable.assign(store[name])

    def get_config(self):
        """Mirrors the constructor."""
        return {
            **super().get_config(),
            "sparsity": self.sparsity,
            "ranking": self.ranking,
            "score_initializer": keras.initializers.serialize(self.score_initializer),
        }
