"""The Keras classes that a ticket may name: nothing else of a file is ever built."""

from __future__ import annotations

import keras

from tfsupermask import layers

_DIMENSIONS = ("1D", "2D", "3D")


def _each(*names):
    return [f"{name}{dimension}" for name in names for dimension in _DIMENSIONS]


# By (module, class name). None of them runs code given in its config, reads files, or
# computes more than shapes when it is built. No string in their configs but an
# activation's name is looked up anywhere.
LAYERS = frozenset(
    ("keras.layers", name)
    for name in [
        *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
        *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum"),
        *("Multiply", "Subtract"),
        *("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
        *("BatchNormalization", "GroupNormalization", "LayerNormalization"),
        *("Normalization", "RMSNormalization", "Rescaling", "UnitNormalization"),
        *("Dense", "EinsumDense", "Embedding", "MultiHeadAttention"),
        *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
        *("Flatten", "Identity", "InputLayer", "Masking", "Permute", "RepeatVector"),
        "Reshape",
        *_each("Conv", "Cropping", "SpatialDropout", "UpSampling", "ZeroPadding"),
        *(f"Conv{dimension}Transpose" for dimension in _DIMENSIONS),
        *_each("AveragePooling", "GlobalAveragePooling"),
        *_each("MaxPooling", "GlobalMaxPooling"),
    ]
) | {
    *(("keras.src.ops.numpy", name) for name in ("Add", "Multiply", "Subtract")),
    *(("keras.src.ops.numpy", name) for name in ("Negative", "TrueDivide")),
    ("keras.src.applications.convnext", "LayerScale"),
}
MODELS = frozenset(
    {("keras", "Sequential"), ("keras.src.models.functional", "Functional")}
)
INITIALIZERS = frozenset(
    ("keras.initializers", name)
    for name in [
        *("Constant", "Ones", "Zeros"),
        *("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"),
        *("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"),
        *("LecunNormal", "LecunUniform"),
    ]
)
REGULARIZERS = frozenset(("keras.regularizers", name) for name in ("L1", "L1L2", "L2"))
CONSTRAINTS = frozenset(
    ("keras.constraints", name)
    for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")
)
POLICIES = frozenset({("keras", "DTypePolicy")})

# Those of this package, by the names that they are registered by.
OWN_LAYERS, OWN_INITIALIZERS = (
    {
        keras.saving.get_registered_name(cls): cls
        for cls in vars(layers).values()
        if isinstance(cls, type) and issubclass(cls, base)
    }
    for base in (keras.Layer, keras.initializers.Initializer)
)
OWN_MODULE = "tfsupermask"

POLICY_NAMES = frozenset(
    {"bfloat16", "float16", "float32", "float64", "mixed_bfloat16", "mixed_float16"}
)
DTYPES = POLICY_NAMES | {
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
}
ACTIVATIONS = frozenset(
    {
        *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid"),
        *("hard_silu", "hard_tanh", "leaky_relu", "linear", "log_sigmoid"),
        *("log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu"),
        *("soft_shrink", "softmax", "softplus", "softsign", "sparse_plus"),
        *("sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink"),
        "threshold",
    }
)


def is_own_layer(registered_name: object) -> bool:
    """Returns whether the name stands for a layer of this package, and for no other."""
    return _is_own(registered_name, OWN_LAYERS)


def is_own_initializer(registered_name: object) -> bool:
    """Returns whether the name stands for an initializer of this package."""
    return _is_own(registered_name, OWN_INITIALIZERS)


def _is_own(registered_name, classes):
    if registered_name not in classes:
        return False
    found = keras.saving.get_registered_object(registered_name)
    return found is classes[registered_name]
