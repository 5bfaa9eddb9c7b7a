"""Which models can be masked: Keras' layers and applications, and those of keras-hub.

    python -m benchmarks.coverage --output=coverage.json
    python -m benchmarks.coverage --quick

Every model, small and with random weights, is converted, trained for two steps, folded,
saved as `.keras` with and without its masks, saved as a ticket, and loaded again. The
table shows how much of it is masked, and after which steps its outputs are the same or
why they are not. Models of keras-hub are tried if it is installed.
"""

from __future__ import annotations

import functools
import importlib.util
import tempfile
import warnings
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import keras
import numpy as np
from keras import layers as kl

import tfsupermask
from benchmarks import _measure
from tfsupermask.conversion.summary_table import share_masked
from tfsupermask.layers import masked_weights

QUICK = ("layer Dense", "layer GRU", "MobileNetV2")
STEPS = ("fit", "fold", "masked .keras", "folded .keras", "ticket")
# Rows: name, and how to make a model and its inputs.
STEP, IMAGE = (5, 6), (12, 12, 4)


def of_layer(make, shape, dtype="float32", calls=1):
    """Returns a model of one layer between a dense one and a softmax, and inputs."""
    inputs = keras.Input(shape, dtype=dtype)
    x = make()(*[inputs] * calls)
    x = kl.Dense(3, activation="softmax")(kl.Flatten()(x))
    rng = np.random.default_rng(0)
    if dtype == "float32":
        return keras.Model(inputs, x), rng.normal(size=(4, *shape)).astype(dtype)
    return keras.Model(inputs, x), rng.integers(0, 9, (4, *shape))


LAYERS = {
    "Dense": (lambda: kl.Dense(4), STEP),
    "EinsumDense": (lambda: kl.EinsumDense("abc,cd->abd", (5, 4)), STEP),
    "Conv1D": (lambda: kl.Conv1D(4, 3), STEP),
    "Conv2D": (lambda: kl.Conv2D(4, 3), IMAGE),
    "Conv3D": (lambda: kl.Conv3D(4, 3), (6, 6, 6, 2)),
    "Conv1DTranspose": (lambda: kl.Conv1DTranspose(4, 3), STEP),
    "Conv2DTranspose": (lambda: kl.Conv2DTranspose(4, 3), IMAGE),
    "Conv3DTranspose": (lambda: kl.Conv3DTranspose(4, 3), (4, 4, 4, 2)),
    "DepthwiseConv1D": (lambda: kl.DepthwiseConv1D(3), STEP),
    "DepthwiseConv2D": (lambda: kl.DepthwiseConv2D(3), IMAGE),
    "SeparableConv1D": (lambda: kl.SeparableConv1D(4, 3), STEP),
    "SeparableConv2D": (lambda: kl.SeparableConv2D(4, 3), IMAGE),
    "Embedding": (lambda: kl.Embedding(9, 4), (5,), "int32"),
    "MultiHeadAttention": (lambda: kl.MultiHeadAttention(2, 4), STEP, "float32", 2),
    "GroupQueryAttention": (
        lambda: kl.GroupQueryAttention(4, 4, 2),
        STEP,
        "float32",
        2,
    ),
    "LSTM": (lambda: kl.LSTM(4), STEP),
    "GRU": (lambda: kl.GRU(4), STEP),
    "SimpleRNN": (lambda: kl.SimpleRNN(4), STEP),
    "ConvLSTM2D": (lambda: kl.ConvLSTM2D(4, 3), (3, 6, 6, 2)),
    "Bidirectional": (lambda: kl.Bidirectional(kl.LSTM(4)), STEP),
    "TimeDistributed": (lambda: kl.TimeDistributed(kl.Dense(4)), STEP),
    "SpectralNormalization": (lambda: kl.SpectralNormalization(kl.Dense(4)), STEP),
}

APPLICATIONS = {
    "VGG16": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "DenseNet121": 32,
    "NASNetMobile": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "ConvNeXtTiny": 32,
    "Xception": 71,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
}


def of_application(name, side):
    """Returns a network of keras.applications, and images."""
    make = getattr(keras.applications, name)
    model = make(input_shape=(side, side, 3), weights=None, classes=3)
    return model, np.random.default_rng(0).uniform(0, 255, (4, side, side, 3))


def classifier(backbone, inputs):
    """Returns a backbone with a head, and the inputs."""
    outputs = backbone.output
    if isinstance(outputs, dict):
        outputs = outputs["sequence_output"]
    if len(outputs.shape) > 2:
        pool = {3: kl.GlobalAveragePooling1D, 4: kl.GlobalAveragePooling2D}
        outputs = pool[len(outputs.shape)]()(outputs)
    logits = kl.Dense(3, activation="softmax", name="logits")(outputs)
    return keras.Model(backbone.input, logits), inputs


def hub_models():
    """Returns small models of keras-hub by name, each a function that makes one."""
    import keras_hub.models as hub

    rng = np.random.default_rng(0)
    tokens = {
        "token_ids": rng.integers(0, 500, (4, 8)),
        "padding_mask": np.ones((4, 8), "int32"),
    }
    segments = {**tokens, "segment_ids": np.zeros((4, 8), "int32")}
    text = {
        "vocabulary_size": 500,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "max_sequence_length": 8,
    }
    images = rng.normal(size=(4, 32, 32, 3)).astype("float32")
    return {
        "BERT": lambda: classifier(hub.BertBackbone(**text), segments),
        "DistilBERT": lambda: classifier(hub.DistilBertBackbone(**text), tokens),
        "GPT-2": lambda: classifier(hub.GPT2Backbone(**text), tokens),
        "ViT": lambda: classifier(
            hub.ViTBackbone(
                image_shape=(32, 32, 3),
                patch_size=8,
                num_layers=2,
                num_heads=2,
                hidden_dim=16,
                mlp_dim=32,
            ),
            images,
        ),
        "ResNet": lambda: classifier(
            hub.ResNetBackbone(
                input_conv_filters=[64],
                input_conv_kernel_sizes=[3],
                stackwise_num_filters=[64, 128],
                stackwise_num_blocks=[1, 1],
                stackwise_num_strides=[1, 2],
                block_type="basic_block",
                image_shape=(32, 32, 3),
            ),
            images,
        ),
        "EfficientNet": lambda: classifier(
            hub.EfficientNetBackbone(
                stackwise_width_coefficients=[1.0] * 2,
                stackwise_depth_coefficients=[1.0] * 2,
                stackwise_kernel_sizes=[3, 3],
                stackwise_num_repeats=[1, 1],
                stackwise_input_filters=[8, 8],
                stackwise_output_filters=[8, 16],
                stackwise_expansion_ratios=[1, 2],
                stackwise_strides=[1, 2],
                stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
                stackwise_block_types=["v1", "v1"],
                stackwise_force_input_filters=[0, 0],
                stackwise_nores_option=[False, False],
                image_shape=(32, 32, 3),
            ),
            images,
        ),
    }


def all_models():
    """Returns all rows: name → a function that makes a model and its inputs."""
    rows = {
        f"layer {name}": functools.partial(of_layer, *arguments)
        for name, arguments in LAYERS.items()
    }
    rows |= {
        name: functools.partial(of_application, name, side)
        for name, side in APPLICATIONS.items()
    }
    if importlib.util.find_spec("keras_hub"):
        rows |= {f"hub {name}": make for name, make in hub_models().items()}
    return rows


def try_all(make):
    """Returns a row: the share masked, and what each step gave."""
    model, inputs = make()
    masked = tfsupermask.convert(model, 0.5, verbose=False)
    row = {"masked": share_masked(masked)}

    def fit():
        masked.compile(
            keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy()
        )
        kernels = [weight.kernel for weight in masked_weights(masked)]
        before = [kernel.numpy() for kernel in kernels]
        masked.fit(inputs, np.arange(4) % 3, batch_size=2, verbose=0)
        if all(map(np.array_equal, before, kernels)):
            return "equal"
        return "kernels changed"

    def same(other):
        expected, found = (
            keras.ops.convert_to_numpy(each(inputs, training=False))
            for each in (masked, other)
        )
        if np.array_equal(expected, found):
            return "equal"
        return f"up to {np.abs(expected - found).max():.0e}"

    def through_keras(other):
        with tempfile.TemporaryDirectory() as folder:
            other.save(Path(folder) / "model.keras")
            return same(keras.models.load_model(Path(folder) / "model.keras"))

    def ticket():
        with tempfile.TemporaryDirectory() as folder:
            path = tfsupermask.save_ticket(masked, Path(folder) / "model.ticket")
            return same(tfsupermask.load_ticket(path).model)

    steps = (
        fit,
        lambda: same(tfsupermask.fold(masked)),
        lambda: through_keras(masked),
        lambda: through_keras(tfsupermask.fold(masked)),
        ticket,
    )
    for name, step in zip(STEPS, steps, strict=True):
        try:
            row[name] = step()
        except Exception as error:  # any error is a result
            row[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
    return row


def print_row(name, row):
    """Prints a row, and below it the reasons."""
    words = ["no" if ":" in row[step] else row[step] for step in STEPS]
    cells = "  ".join(f"{word:>13}" for word in words)
    print(f"{name:28}  {row['masked']:7.1%}  {cells}", flush=True)
    for step in STEPS:
        if ":" in row[step]:
            print(f"    {step}: {row[step]}")


def main():
    """Prints the table."""
    warnings.simplefilter("ignore")
    print(_measure.describe())
    heads = "  ".join(f"{step:>13}" for step in STEPS)
    print(f"{'model':28}  {'masked':>7}  {heads}")
    rows = {}
    for name, make in all_models().items():
        if not _measure.QUICK.value or name in QUICK:
            keras.utils.clear_session()
            keras.utils.set_random_seed(0)
            rows[name] = try_all(make)
            print_row(name, rows[name])
    _measure.save(rows)


if __name__ == "__main__":
    _program.start(main)
