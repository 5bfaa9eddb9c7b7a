"""Every format, run by its own runtime, gives what the model gives."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_model, is_export
from tfsupermask.layers import SupermaskConv2D, SupermaskDense, supermask_layers

from .conftest import MEAN, NAMES, STD, normalised, uint8_images

IMAGES = uint8_images(40, seed=2)


@pytest.mark.parametrize(
    "name", ["saved_model", "m.keras", "m.tflite", "m.onnx", "m.ticket"]
)
def test_same_outputs_in_its_own_runtime(trained, tmp_path, name):
    path = export_model(trained, tmp_path / "deep" / name, MEAN, STD, NAMES)
    assert is_export(path)
    classifier = Classifier(path)
    assert classifier.class_names == NAMES
    assert classifier.image_shape == (8, 8, 3)
    expected = trained(normalised(IMAGES)).numpy()
    for count in (1, 40):
        np.testing.assert_allclose(
            classifier.logits(IMAGES[:count]), expected[:count], rtol=1e-5, atol=2e-6
        )
    probabilities = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        classifier.probabilities(IMAGES), probabilities, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("trained", ["conv2", "separable"], indirect=True)
def test_half_precision_is_close_and_half_as_large(trained, tmp_path):
    path, how = tmp_path / "half.tflite", {"precision": "float16"}
    logits = Classifier(export_model(trained, path, MEAN, STD, **how)).logits(IMAGES)
    expected = trained(normalised(IMAGES)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-2, atol=1e-2)
    num_weights = sum(layer.num_weights for layer in supermask_layers(trained))
    assert 2 * num_weights < path.stat().st_size < 2 * num_weights + 40_000


def test_eight_bits_agree_on_the_classes(trained, tmp_path):
    path, images = tmp_path / "model.tflite", uint8_images(100)
    how = {"precision": "int8", "representative_images": images}
    logits = Classifier(export_model(trained, path, MEAN, STD, **how)).logits(IMAGES)
    expected = trained(normalised(IMAGES)).numpy()
    assert np.mean(logits.argmax(axis=1) == expected.argmax(axis=1)) >= 0.9
    assert np.abs(logits - expected).max() < 0.1 * np.abs(expected).max()


def two_inputs():
    """A supermask model whose inputs are no images, with two outputs."""
    left, right = keras.Input((3,), name="left"), keras.Input((4,), name="right")
    joint = keras.layers.Concatenate()([SupermaskDense(5)(left), right])
    outputs = {"sum": SupermaskDense(2)(joint), "same": joint}
    return keras.Model({"left": left, "right": right}, outputs)


def run_saved_model(path, inputs):
    serve = tf.saved_model.load(path).signatures["serving_default"]
    return serve(**{name: tf.constant(value) for name, value in inputs.items()})


def run_keras(path, inputs):
    return keras.models.load_model(path)(inputs)


def run_litert(path, inputs):
    return Interpreter(str(path)).get_signature_runner()(**inputs)


def run_onnx(path, inputs):
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


RUN = {
    "saved_model": run_saved_model,
    "model.keras": run_keras,
    "model.tflite": run_litert,
    "model.onnx": run_onnx,
}


@pytest.mark.parametrize("name", RUN)
def test_without_mean_and_std_a_model_is_exported_as_it_is(tmp_path, name):
    model = two_inputs()
    rng = np.random.default_rng(0)
    inputs = {
        "left": rng.normal(size=(6, 3)).astype("float32"),
        "right": rng.normal(size=(6, 4)).astype("float32"),
    }
    path = export_model(model, tmp_path / name)
    outputs = RUN[name](path, inputs)
    assert set(outputs) == {"sum", "same"}
    for key, expected in model(inputs).items():
        np.testing.assert_allclose(outputs[key], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="classifier of this program"):
        Classifier(path)


@pytest.mark.parametrize("name", RUN)
def test_what_augments_in_training_does_not_in_exports(tmp_path, name):
    inputs = keras.Input((8, 8, 3), name="images")
    augment = [keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2)]
    x = keras.Sequential(augment)(inputs)
    x = keras.layers.Dropout(0.5)(SupermaskConv2D(4, 3)(x))
    model = keras.Model(inputs, keras.layers.Flatten(name="flat")(x))
    images = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    path = export_model(model, tmp_path / name)
    if name == "model.keras":
        outputs = keras.models.load_model(path)(images, training=False)
    else:
        (outputs,) = RUN[name](path, {"images": images}).values()
    np.testing.assert_allclose(
        outputs, model.predict(images, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_a_sequential_model_that_was_never_called(tmp_path):
    layers = [keras.Input((6,), name="x"), SupermaskDense(3), keras.layers.Dropout(0.5)]
    model = keras.Sequential(layers)
    values = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    for name in ("model.onnx", "model.tflite", "saved_model"):
        path = export_model(model, tmp_path / name)
        (outputs,) = RUN[name](path, {"x": values}).values()
        np.testing.assert_allclose(outputs, model(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_quantized_layers_keep_their_scales_or_are_refused(
    tmp_path, name, mode, policy
):
    inputs = keras.Input((6,), name="x")
    quantized = keras.layers.Dense(5, dtype=policy)
    model = keras.Model(inputs, SupermaskDense(2)(quantized(inputs)))
    quantized.quantize(mode)
    values = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    if (name, mode) == ("model.tflite", "int8"):
        with pytest.raises(InputError, match="operations that LiteRT has"):
            export_model(model, tmp_path / name)
        return
    (outputs,) = RUN[name](export_model(model, tmp_path / name), {"x": values}).values()
    atol = 1e-5 if policy == "float32" else 0.02
    np.testing.assert_allclose(outputs, model(values), rtol=1e-4, atol=atol)


@pytest.mark.parametrize("name", RUN)
def test_exports_leave_the_model_alone_and_replace_older_ones(tmp_path, name):
    model = two_inputs()
    before = [variable.numpy() for variable in model.variables]
    path = tmp_path / "deep" / name
    layer = supermask_layers(model)[0]
    for _ in range(2):
        assert export_model(model, path) == path
        layer.kernel.assign(-layer.kernel)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    inputs = {"left": np.ones((1, 3), "float32"), "right": np.ones((1, 4), "float32")}
    found, expected = RUN[name](path, inputs)["same"], model(inputs)["same"]
    np.testing.assert_allclose(found[:, :5], -expected[:, :5], rtol=1e-5)
    assert [entry.name for entry in path.parent.iterdir()] == [name]
