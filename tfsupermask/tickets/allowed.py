"""The classes that a ticket may name, and the check that it names no others."""

from __future__ import annotations

from typing import Any

import keras

from tfsupermask import layers
from tfsupermask._validation import InputError, fail
from tfsupermask.tickets.file import check_keys

# The Keras classes, by their modules. None of them runs code from its config, reads
# files, or computes more than shapes when it is built. None makes more tensors than its
# config lists, as `Split` would. The only strings in their configs that Keras looks up
# are names of activations.
_NAMES = {
    "layer": {
        "keras.layers": """
            Activation ELU LeakyReLU PReLU ReLU Softmax
            Add Average Concatenate Dot Maximum Minimum Multiply Subtract
            AdditiveAttention Attention GroupQueryAttention MultiHeadAttention
            ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise
            SpatialDropout1D SpatialDropout2D SpatialDropout3D
            BatchNormalization GroupNormalization LayerNormalization Normalization
            RMSNormalization Rescaling UnitNormalization
            Dense EinsumDense Embedding
            Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose
            DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
            Flatten Identity InputLayer Masking Permute RepeatVector Reshape
            Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D
            ZeroPadding1D ZeroPadding2D ZeroPadding3D
            AveragePooling1D AveragePooling2D AveragePooling3D
            GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
            MaxPooling1D MaxPooling2D MaxPooling3D
            GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
            GRU GRUCell LSTM LSTMCell RNN SimpleRNN SimpleRNNCell StackedRNNCells
            ConvLSTM1D ConvLSTM2D ConvLSTM3D
            Bidirectional SpectralNormalization TimeDistributed
            AutoContrast CategoryEncoding CenterCrop Resizing Solarization
            RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
            RandomCrop RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale
            RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
            RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom
        """,
        "keras.src.ops.core": "Cast StopGradient",
        "keras.src.ops.linalg": "Norm",
        "keras.src.ops.math": "Erf Logsumexp Rsqrt TopK",
        "keras.src.ops.nn": """
            Celu Elu Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu
            LogSigmoid LogSoftmax Normalize Relu Relu6 Selu Sigmoid Silu SoftShrink
            Softmax Softplus Softsign SparsePlus SparseSigmoid Sparsemax Squareplus
            TanhShrink Threshold
        """,
        "keras.src.ops.numpy": """
            Absolute Add All Any Arctan Arctan2 Argmax Argmin Ceil Clip Concatenate Cos
            Cosh Cumprod Cumsum Divide DivideNoNan Dot Equal Exp ExpandDims Expm1 Flip
            Floor FloorDivide GetItem Greater GreaterEqual Isfinite Isinf Isnan Less
            LessEqual Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot LogicalOr
            LogicalXor Matmul Max Maximum Mean Min Minimum Mod Moveaxis Multiply
            Negative NotEqual OnesLike Power Prod Ravel Reciprocal Reshape Roll Round
            Sign Sin Sinh Sort Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take
            TakeAlongAxis Tan Tanh Transpose TrueDivide Var Where ZerosLike
        """,
        "keras.src.applications.convnext": "LayerScale",
        "keras.src.applications.inception_resnet_v2": "CustomScaleLayer",
    },
    "model": {"keras": "Sequential", "keras.src.models.functional": "Functional"},
    "initializer": {
        "keras.initializers": """
            Constant Ones Zeros RandomNormal RandomUniform TruncatedNormal
            VarianceScaling GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal
            LecunUniform
        """
    },
    "regularizer": {"keras.regularizers": "L1 L1L2 L2"},
    "constraint": {"keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm"},
    "dtype policy": {"keras": "DTypePolicy"},
}
CLASSES = {
    kind: frozenset(
        (module, name) for module, names in modules.items() for name in names.split()
    )
    for kind, modules in _NAMES.items()
}
# The classes of this package, by their registered names.
_OWN = {
    kind: {
        keras.saving.get_registered_name(cls): cls
        for cls in (getattr(layers, name) for name in layers.__all__)
        if isinstance(cls, type) and issubclass(cls, base)
    }
    for kind, base in {
        "layer": (keras.Layer, layers.Supermask),
        "initializer": keras.initializers.Initializer,
    }.items()
}
OWN_MODULE = "tfsupermask"
_SUPERMASK = keras.saving.get_registered_name(layers.Supermask)

_POLICY_NAMES = frozenset(
    {"bfloat16", "float16", "float32", "float64", "mixed_bfloat16", "mixed_float16"}
)
_DTYPES = _POLICY_NAMES.union(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)
_ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh
    leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu
    soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
    squareplus tanh tanh_shrink threshold
"""
ACTIVATIONS = frozenset(_ACTIVATIONS.split())

# Ten times the number in Keras' largest image model; limits the time to build.
_MAX_OBJECTS = 100_000
_MAX_ARGUMENTS = 10_000
# Keras tries a layer again and again if it is listed before its inputs.
_MAX_TRIES = 10**6

_OBJECT = {"module": str, "class_name": str, "config": dict, "registered_name": object}
_OBJECT_OR_FUNCTION = {**_OBJECT, "config": object}
_IN_GRAPH = {"name": str, "inbound_nodes": list}
_SEQUENTIAL = {"name": str, "trainable": bool, "layers": list}
_FUNCTIONAL = {**_SEQUENTIAL, "input_layers": object, "output_layers": object}
_TENSOR = {"shape": list, "dtype": str, "keras_history": list}


def is_object(tree: Any) -> bool:
    """Returns whether a JSON tree has the keys of an object serialised by Keras."""
    return isinstance(tree, dict) and _OBJECT.keys() <= tree.keys()


def is_allowed(kind: str, tree: dict[str, Any]) -> bool:
    """Returns whether a ticket may hold an object of a `kind` in `CLASSES`."""
    if tree["registered_name"] is None:
        return (tree["module"], tree["class_name"]) in CLASSES[kind]
    return _is_own(tree, _OWN.get(kind, {}))


def check_architecture(tree: Any) -> None:
    """Raises unless a JSON tree describes a model of allowed classes as Keras does."""
    objects = _count_objects(tree)
    if objects > _MAX_OBJECTS:
        raise fail(
            f"An architecture must have at most {_MAX_OBJECTS} objects.",
            objects=objects,
        )
    _check_model(tree)


def _is_own(tree, classes):
    name = tree["registered_name"]
    if tree["module"] != OWN_MODULE or not isinstance(name, str) or name not in classes:
        return False
    # Supermask classes have names such as `SupermaskLSTM`.
    named = f"{OWN_MODULE}>{tree['class_name']}"
    return (
        named.startswith(name) if name == _SUPERMASK else named == name
    ) and keras.saving.get_registered_object(name) is classes[name]


def _count_objects(tree):
    """Counts objects; those of a nested model count once for each call of it."""
    if isinstance(tree, list):
        return sum(_count_objects(child) for child in tree)
    if not isinstance(tree, dict):
        return 0
    nodes = tree.get("inbound_nodes")
    calls = max(1, len(nodes)) if isinstance(nodes, list) else 1
    return ("class_name" in tree) + sum(
        _count_objects(child) * (calls if key == "config" else 1)
        for key, child in tree.items()
    )


def _check_model(tree):
    check_keys("A model", tree, _OBJECT, optional=_IN_GRAPH)
    if not is_allowed("model", tree):
        raise _not_allowed("model", tree)
    config = tree["config"]
    if tree["class_name"] == "Functional":
        _check_functional(config)
        return
    optional = ("dtype", "build_input_shape")
    check_keys("A Sequential model", config, _SEQUENTIAL, optional)
    _check_dtype(config.get("dtype"))
    _check_plain("build_input_shape", config.get("build_input_shape"))
    for layer in config["layers"]:
        _check_layer(layer)


def _check_functional(config):
    check_keys("A functional model", config, _FUNCTIONAL, optional=())
    _check_ends(config["input_layers"])
    _check_ends(config["output_layers"])
    seen, early = set(), 0
    for layer in config["layers"]:
        _check_layer(layer, _IN_GRAPH)
        seen.add(layer["name"])
        for node in layer["inbound_nodes"]:
            early += len(_check_node(node, layer["name"]) - seen)
    if early * len(config["layers"]) > _MAX_TRIES:
        raise fail(
            "A model's layers must be listed after those that they are called with.",
            listed_before=early,
        )


def _check_ends(tree):
    """Checks the names and numbers of a model's inputs or outputs."""
    if isinstance(tree, (list, dict)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            _check_ends(child)
    elif not isinstance(tree, (str, int)):
        raise fail("A model's ends must be names and numbers.", received=tree)


def _check_node(node, name):
    """Returns the names of the layers that give the inputs of a call."""
    check_keys("A node", node, {"args": list, "kwargs": dict}, optional=())
    names = set(_check_call([node["args"], node["kwargs"]]))
    if not names:
        # Keras would compute it while it builds the model.
        raise fail("A layer must be called with a tensor of the model.", name=name)
    return names


def _check_call(tree):
    """Checks the arguments of a call, and returns the layers that its tensors name."""
    if isinstance(tree, dict) and "class_name" in tree:
        return _check_tensor_or_slice(tree)
    if isinstance(tree, (dict, list)):
        if len(tree) > _MAX_ARGUMENTS:
            raise fail(
                f"A layer can be called with at most {_MAX_ARGUMENTS} values at once.",
                values=len(tree),
            )
        children = tree.values() if isinstance(tree, dict) else tree
        return [name for child in children for name in _check_call(child)]
    if isinstance(tree, str):
        # Keras would look it up among registered classes.
        raise fail("A layer cannot be called with a string.", argument=tree)
    return []


def _check_tensor_or_slice(tree):
    check_keys("A tensor", tree, {"class_name": str, "config": object}, optional=())
    class_name, config = tree["class_name"], tree["config"]
    if class_name == "__keras_tensor__":
        _check_tensor(config)
        return [config["keras_history"][0]]
    is_slice = class_name == "__slice__" and _are_ends_of_slice(config)
    if not is_slice and not (class_name == "__ellipsis__" and config == {}):
        raise fail(
            "A layer can be called with tensors of the model, slices and plain values "
            "only.",
            class_name=class_name,
        )
    return []


def _check_tensor(config):
    check_keys("A tensor", config, _TENSOR, optional=())
    sizes = all(size is None or type(size) is int for size in config["shape"])
    history = [type(entry) for entry in config["keras_history"]]
    known = config["dtype"] in _DTYPES
    if not (sizes and known and history == [str, int, int]):
        raise fail("A tensor must have sizes, a dtype and a history.", tensor=config)


def _are_ends_of_slice(config):
    return (
        isinstance(config, dict)
        and sorted(config) == ["start", "step", "stop"]
        and all(end is None or type(end) is int for end in config.values())
    )


def _check_layer(tree, in_graph=None):
    check_keys("A layer", tree, {**_OBJECT, **(in_graph or {})}, optional=())
    if is_allowed("model", tree):
        _check_model(tree)
    elif is_allowed("layer", tree):
        _check_constructor(tree["config"])
    else:
        raise _not_allowed("layer", tree)


def _check_constructor(config):
    try:
        for key, value in config.items():
            _check_argument(key, value)
    except InputError as error:
        if "name" not in config:  # then the inner layer's name is in the message
            raise
        raise InputError(f"Layer {config['name']!r}: {error}") from None


def _check_argument(key, value):
    """Checks an argument of a layer's constructor by the argument's name."""
    if key == "dtype":
        _check_dtype(value)
    elif key in ("layer", "backward_layer", "cell"):
        _check_layer(value)
    elif key == "cells":
        if not isinstance(value, list):
            raise fail("'cells' must be a list.", cells=value)
        for cell in value:
            _check_layer(cell)
    elif key == "stateful" and value is not False:
        # Its states are made when it is built, and do not count as weights.
        raise fail("A ticket can hold no layer that is stateful.", stateful=value)
    elif key == "activation" or key.endswith("_activation"):
        _check_activation(value)
    elif key.endswith(("_initializer", "_regularizer", "_constraint")):
        _check_object(key.rpartition("_")[2], value)
    else:
        _check_plain(key, value)


def _check_dtype(value):
    known = _DTYPES | {None}
    if isinstance(value, dict):
        _check_object("dtype policy", value)
        value, known = value["config"].get("name"), _POLICY_NAMES
    if isinstance(value, list) or value not in known:
        raise fail("A dtype must be one of Keras' own, not quantized.", dtype=value)


def _check_activation(value):
    if is_object(value) and isinstance(value["config"], dict):
        _check_layer(value)
    elif not isinstance(value, str) or value not in ACTIVATIONS:
        name = value["config"] if is_object(value) else value
        raise fail("An activation must be one of Keras' own.", activation=name)


def _check_object(kind, tree):
    if tree is None:
        return
    check_keys(f"The {kind}", tree, _OBJECT_OR_FUNCTION, optional=())
    if not is_allowed(kind, tree):
        raise _not_allowed(kind, tree)
    check_keys(f"The {kind}", tree, _OBJECT, optional=())
    for key, value in tree["config"].items():
        _check_plain(key, value)


def _check_plain(key, value):
    if isinstance(value, list):
        for child in value:
            _check_plain(key, child)
    elif isinstance(value, dict):
        raise fail(
            f"{key!r} must be a plain value.", class_name=value.get("class_name")
        )


def _not_allowed(kind, tree):
    config = tree["config"]
    return fail(
        f"A ticket can hold no {kind} of this class.",
        name=config.get("name") if isinstance(config, dict) else config,
        class_name=f"{tree['module']}.{tree['class_name']}",
        registered_name=tree["registered_name"],
    )
