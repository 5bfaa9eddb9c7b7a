"""What turns a Keras layer with a kernel into a supermask layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from tfsupermask._validation import check_choice, check_fraction, fail
from tfsupermask.ops import masking


def default_score_initializer() -> keras.initializers.Initializer:
    """Returns Kaiming-uniform with a = √5: U(-1/√fan_in, 1/√fan_in)."""
    return keras.initializers.VarianceScaling(
        1 / 3, mode="fan_in", distribution="uniform"
    )


class SupermaskMixin:
    """Freezes the `kernel` of a Keras layer and learns which of its weights to keep.

    Put it before a Keras layer that creates its kernel in `build`. The kernel becomes
    non-trainable; a float32 weight `score` of the same shape is trained instead. The
    layer's forward pass has to use `masked_kernel()`, the kernel with all but its best
    ranked weights set to zero, in place of `kernel`.

    Args:
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5. It may be
            assigned to later; a compiled function keeps the value it was traced with.
        ranking: `"magnitude"` (default) keeps the largest |score|, `"score"` the
            largest score.
        score_initializer: Keras initializer of the scores. Defaults to Kaiming-uniform
            with a = √5, that is U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to add a bias, which is trained. Defaults to `False`, so that
            the score is all that is trained.

    Raises:
        InputError: `sparsity` or `ranking` is not as above, or LoRA or a quantized
            dtype policy is asked for: both would bypass the mask.

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020, "What's hidden in a randomly weighted
          neural network?".
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
        self.sparsity = sparsity
        self.ranking = check_choice("ranking", ranking, masking.RANKINGS)
        self.score_initializer = keras.initializers.get(
            score_initializer or default_score_initializer()
        )

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that is removed, in [0, 1)."""
        return self._sparsity

    @sparsity.setter
    def sparsity(self, value: float) -> None:
        self._sparsity = check_fraction("sparsity", value)

    @property
    def trainable(self) -> bool:
        """Whether the score and the bias are trained; the kernel never is."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        super(SupermaskMixin, type(self)).trainable.fset(self, value)
        if self.built:
            self._kernel.trainable = False

    def build(self, input_shape):
        """Creates the frozen kernel and its scores."""
        if self.quantization_mode is not None:
            raise fail(
                f"Layer '{self.name}' has no quantized form: fold the model first.",
                dtype=self.dtype_policy.name,
            )
        super().build(input_shape)
        self._kernel.trainable = False
        # Ranking needs float32: in half precision scores would tie by the thousand.
        self.score = self.add_weight(
            name="score",
            shape=self._kernel.shape,
            initializer=self.score_initializer,
            dtype="float32",
            autocast=False,
        )

    @property
    def num_weights(self) -> int:
        """Number of weights in the kernel."""
        return int(np.prod(self.kernel.shape))

    @property
    def num_kept(self) -> int:
        """Number of weights that survive in the kernel."""
        return masking.num_kept(self.num_weights, self.sparsity)

    @property
    def realised_sparsity(self) -> float:
        """Fraction of the kernel's weights that the mask removes, after rounding."""
        return 1 - self.num_kept / self.num_weights

    @property
    def mask(self):
        """The current mask: float32 zeros and ones, shaped like the kernel."""
        return masking.top_k_mask(self.score.value, self.num_kept, self.ranking)

    def masked_kernel(self):
        """Returns kernel · mask in the compute dtype, differentiable in the scores."""
        return masking.masked_kernel(
            keras.ops.convert_to_tensor(self.kernel),
            keras.ops.convert_to_tensor(self.score),
            self.num_kept,
            self.ranking,
        )

    def enable_lora(self, rank, *args, **kwargs):
        """Refuses: the kernel is frozen, and what is added to it is not saved."""
        raise fail(
            f"Layer '{self.name}' cannot use LoRA: fold the model first.", rank=rank
        )

    def _own_variables(self):
        variables = {"kernel": self._kernel, "score": self.score}
        return variables if self.bias is None else {**variables, "bias": self.bias}

    def save_own_variables(self, store):
        """Stores kernel, score and bias by name."""
        if self.built:
            for name, variable in self._own_variables().items():
                store[name] = variable

    def load_own_variables(self, store):
        """Reads kernel, score and bias by name."""
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


def supermask_layers(model: keras.Model) -> list[SupermaskMixin]:
    """Returns the supermask layers of a model in its layer order, nested ones included.

    Example:
    >>> [layer.name for layer in supermask_layers(models.build("conv2"))]
    ['conv1', 'conv2', 'dense1', 'dense2', 'dense3']
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, SupermaskMixin):
            found.append(layer)
        elif hasattr(layer, "layers"):
            found.extend(supermask_layers(layer))
    return found


@contextlib.contextmanager
def dense_forward(model: keras.Model) -> Iterator[None]:
    """Runs the body with every mask of `model` keeping all weights. For eager code."""
    layers = supermask_layers(model)
    sparsities = [layer.sparsity for layer in layers]
    try:
        for layer in layers:
            layer.sparsity = 0.0
        yield
    finally:
        for layer, sparsity in zip(layers, sparsities, strict=True):
            layer.sparsity = sparsity
