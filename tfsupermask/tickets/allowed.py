"""The Keras classes that a ticket may name: nothing else of a file is ever built."""

from __future__ import annotations

from typing import Any

import keras

from tfsupermask import layers

_DIMENSIONS = ("1D", "2D", "3D")


def _each(*names):
    return [f"{name}{dimension}" for name in names for dimension in _DIMENSIONS]


# By (module, class name). None of them runs code given in its config, reads files, or
# computes more than shapes when it is built; nor does one make more tensors than its
# config lists, as `Split` would. No string in their configs but an activation's name
# is looked up anywhere.
_LAYERS = [
    *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
    *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum"),
    *("Multiply", "Subtract"),
    *("AdditiveAttention", "Attention", "GroupQueryAttention", "MultiHeadAttention"),
    *("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *("BatchNormalization", "GroupNormalization", "LayerNormalization"),
    *("Normalization", "RMSNormalization", "Rescaling", "UnitNormalization"),
    *("Dense", "EinsumDense", "Embedding"),
    *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
    *("Flatten", "Identity", "InputLayer", "Masking", "Permute", "RepeatVector"),
    "Reshape",
    *_each("Conv", "Cropping", "SpatialDropout", "UpSampling", "ZeroPadding"),
    *(f"Conv{dimension}Transpose" for dimension in _DIMENSIONS),
    *_each("AveragePooling", "GlobalAveragePooling"),
    *_each("MaxPooling", "GlobalMaxPooling"),
    *("GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "SimpleRNN", "SimpleRNNCell"),
    *("StackedRNNCells", *_each("ConvLSTM")),
    *("Bidirectional", "SpectralNormalization", "TimeDistributed"),
    *("AutoContrast", "CategoryEncoding", "CenterCrop", "Resizing"),
    *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"),
    *("RandomContrast", "RandomCrop", "RandomErasing", "RandomFlip"),
    *("RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert"),
    *("RandomPerspective", "RandomPosterization", "RandomRotation"),
    *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation"),
    *("RandomZoom", "Solarization"),
]
_OPERATIONS = {
    "core": ["Cast", "StopGradient"],
    "linalg": ["Norm"],
    "math": ["Erf", "Logsumexp", "Rsqrt", "TopK"],
    "nn": [
        *("Celu", "Elu", "Gelu", "Glu", "HardShrink", "HardSigmoid", "HardSilu"),
        *("HardTanh", "LeakyRelu", "LogSigmoid", "LogSoftmax", "Normalize", "Relu"),
        *("Relu6", "Selu", "Sigmoid", "Silu", "SoftShrink", "Softmax", "Softplus"),
        *("Softsign", "SparsePlus", "SparseSigmoid", "Sparsemax", "Squareplus"),
        *("TanhShrink", "Threshold"),
    ],
    "numpy": [
        *("Absolute", "Add", "All", "Any", "Arctan", "Arctan2", "Argmax", "Argmin"),
        *("Ceil", "Clip", "Concatenate", "Cos", "Cosh", "Cumprod", "Cumsum"),
        *("Divide", "DivideNoNan", "Dot", "Equal", "Exp", "ExpandDims"),
        *("Expm1", "Flip", "Floor", "FloorDivide", "GetItem", "Greater"),
        *("GreaterEqual", "Isfinite", "Isinf", "Isnan", "Less", "LessEqual", "Log"),
        *("Log10", "Log1p", "Log2", "Logaddexp", "LogicalAnd", "LogicalNot"),
        *("LogicalOr", "LogicalXor", "Matmul", "Max", "Maximum", "Mean", "Min"),
        *("Minimum", "Mod", "Moveaxis", "Multiply", "Negative", "NotEqual"),
        *("OnesLike", "Power", "Prod", "Ravel", "Reciprocal", "Reshape", "Roll"),
        *("Round", "Sign", "Sin", "Sinh", "Sort", "Sqrt", "Square", "Squeeze"),
        *("Stack", "Std", "Subtract", "Sum", "Swapaxes", "Take", "TakeAlongAxis"),
        *("Tan", "Tanh", "Transpose", "TrueDivide", "Var", "Where", "ZerosLike"),
    ],
}
LAYERS = frozenset(
    {
        *(("keras.layers", name) for name in _LAYERS),
        *(
            (f"keras.src.ops.{module}", name)
            for module, names in _OPERATIONS.items()
            for name in names
        ),
        ("keras.src.applications.convnext", "LayerScale"),
        ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
    }
)
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
    for base in ((keras.Layer, layers.Supermask), keras.initializers.Initializer)
)
OWN_MODULE = "tfsupermask"
SUPERMASK = keras.saving.get_registered_name(layers.Supermask)

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


def is_keras(tree: dict[str, Any], names: frozenset[tuple[str, str]]) -> bool:
    """Returns whether an object's tree names one of Keras' classes in `names`."""
    return name_of(tree) in names and tree["registered_name"] is None


def is_model(tree: dict[str, Any]) -> bool:
    """Returns whether an object's tree names a model that tickets may name."""
    return is_keras(tree, MODELS)


def is_layer(tree: dict[str, Any]) -> bool:
    """Returns whether an object's tree names a layer that tickets may name."""
    return is_keras(tree, LAYERS) or _is_own(tree, OWN_LAYERS)


def is_initializer(tree: dict[str, Any]) -> bool:
    """Returns whether an object's tree names an initializer that tickets may name."""
    return is_keras(tree, INITIALIZERS) or _is_own(tree, OWN_INITIALIZERS)


def name_of(tree: dict[str, Any]) -> tuple[str, str]:
    """Returns the module and the class that an object's tree names."""
    return tree["module"], tree["class_name"]


def _is_own(tree, classes):
    name = tree["registered_name"]
    if tree["module"] != OWN_MODULE or not isinstance(name, str) or name not in classes:
        return False
    # Classes made from others are called after both: `SupermaskLSTM`.
    named = f"{OWN_MODULE}>{tree['class_name']}"
    return (
        named.startswith(name) if name == SUPERMASK else named == name
    ) and keras.saving.get_registered_object(name) is classes[name]
