import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_model

from .conftest import MEAN, NAMES, STD, conv2, normalised, separable, uint8_images


def to_tflite(model, folder, precision="int8", images=None, normalise=True):
    """Exports with images that represent those of the training, where they must."""
    if precision == "int8" and images is None:
        images = uint8_images(20)
    return export_model(
        model,
        folder / "model.tflite",
        *((MEAN, STD) if normalise else ()),
        precision=precision,
        representative_images=images,
    )


def operators(path):
    """Names of a file's operators; the runtime itself must not add any."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    return [operator["op_name"] for operator in interpreter._get_ops_details()]


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_one_contract_for_every_precision(tmp_path, precision):
    path = to_tflite(separable(), tmp_path, precision)
    interpreter = Interpreter(str(path))
    (image_input,) = interpreter.get_input_details()
    assert image_input["dtype"] == np.uint8
    assert image_input["shape_signature"].tolist() == [-1, 8, 8, 3]
    assert image_input["quantization"] == ((1, 0) if precision == "int8" else (0, 0))
    assert {output["dtype"] for output in interpreter.get_output_details()} == {
        np.float32
    }
    signature = interpreter.get_signature_list()["serving_default"]
    assert signature == {"inputs": ["images"], "outputs": ["logits", "probabilities"]}
    assert not [name for name in operators(path) if name.startswith(("Flex", "CUSTOM"))]


def test_eight_bits_all_the_way_and_dark_images_shift_no_intensities(tmp_path):
    images = uint8_images(20) // 4 + 10
    before = images.copy()
    interpreter = Interpreter(str(to_tflite(conv2(), tmp_path, images=images)))
    np.testing.assert_array_equal(images, before)
    (image_input,) = interpreter.get_input_details()
    assert image_input["quantization"] == (1, 0)
    types = [tensor["dtype"] for tensor in interpreter.get_tensor_details()]
    assert types.count(np.float32) == 2  # the outputs
    assert set(types) <= {np.uint8, np.int8, np.int32, np.float32}


def test_eight_bits_of_a_model_as_it_is(tmp_path):
    dense = layers.SupermaskDense(9, activation="relu")
    model = keras.Sequential([keras.Input((12,)), dense])
    inputs = np.random.default_rng(0).normal(size=(200, 12)).astype("float32")
    path = to_tflite(model, tmp_path, images=inputs, normalise=False)
    runner = Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    outputs = runner(**{name: inputs})["output_0"]
    expected = model(inputs).numpy()
    assert outputs.dtype == np.float32
    assert np.abs(outputs - expected).max() < 0.05 * expected.max()


def words():
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(20, 4, keras.initializers.RandomNormal(stddev=1))(inputs)
    outputs = layers.SupermaskDense(3)(keras.layers.Flatten()(x))
    return keras.Model(inputs, outputs), np.arange(40).reshape(8, 5)


def pictures_of_any_size():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(layers.SupermaskConv2D(4, 3)(inputs))
    return keras.Model(inputs, x), np.random.default_rng(0).random((20, 8, 8, 3))


@pytest.mark.parametrize("make", [words, pictures_of_any_size])
def test_eight_bits_of_whole_numbers_and_of_any_size(make, tmp_path):
    keras.utils.set_random_seed(1)
    model, inputs = make()
    inputs = (inputs % 20).astype(model.inputs[0].dtype)
    path = to_tflite(model, tmp_path, images=inputs, normalise=False)
    runner = Interpreter(str(path)).get_signature_runner()
    ((name, about),) = runner.get_input_details().items()
    outputs = runner(**{name: inputs.astype(about["dtype"])[:1]})["output_0"]
    expected = model(inputs[:1]).numpy()
    assert np.abs(outputs - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_models_run_in_float32(tmp_path, policy, suffix):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = conv2()
    finally:
        keras.config.set_dtype_policy(before)
    path = export_model(model, tmp_path / f"model.{suffix}", MEAN, STD, NAMES)
    images = uint8_images(20)
    expected = conv2()(normalised(images))  # the same weights, in float32
    np.testing.assert_allclose(
        Classifier(path).logits(images), expected, rtol=1e-5, atol=1e-6
    )
    assert model.dtype_policy.name == policy


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "must be given for precision 'int8'"),
        (uint8_images(2)[0], r"of shape \(None, 8, 8, 3\).*shape=\(8, 8, 3\)"),
        (uint8_images(0), r"at least one.*shape=\(0, 8, 8, 3\)"),
        (uint8_images(2) / 255, "uint8, 0 to 255.*float64"),
    ],
)
def test_images_for_eight_bits_that_do_not_fit(tmp_path, images, message):
    path, eight_bits = tmp_path / "model.tflite", {"precision": "int8"}
    with pytest.raises(InputError, match=message):
        export_model(
            conv2(), path, MEAN, STD, **eight_bits, representative_images=images
        )
    assert not path.exists()


def test_what_litert_lacks_is_said_and_the_older_file_stays(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"precious")
    inputs = keras.Input((4, 4))
    lacking = keras.Model(inputs, keras.ops.linalg.inv(inputs))
    with pytest.raises(InputError, match="operations that LiteRT has built in"):
        export_model(lacking, path)
    assert path.read_bytes() == b"precious"
