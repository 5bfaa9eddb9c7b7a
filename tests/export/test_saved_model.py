import resource
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_model, export_saved_model, is_export
from tfsupermask.export.sizes import dense_bytes

from .conftest import MEAN, NAMES, STD, conv2, uint8_images


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = conv2()
    path = tmp_path_factory.mktemp("export") / "saved"
    return model, export_saved_model(model, path, MEAN, STD, NAMES)


def test_signatures_say_what_they_take_and_hold_every_weight_once(exported):
    model, path = exported
    loaded, images = tf.saved_model.load(str(path)), uint8_images(3)
    logits = []
    for name, given in (("serving_default", images), ("float_images", images / 255)):
        signature = loaded.signatures[name]
        argument = signature.structured_input_signature[1]["images"]
        assert argument.dtype == (tf.uint8 if given is images else tf.float32)
        assert argument.shape.as_list() == [None, 8, 8, 3]
        outputs = signature(images=tf.constant(given, argument.dtype))
        assert set(outputs) == {"logits", "probabilities", "class_names"}
        logits.append(outputs["logits"])
    np.testing.assert_allclose(*logits, rtol=1e-3, atol=1e-6)
    size = (path / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size == pytest.approx(dense_bytes(model), rel=0.05)


def test_the_folder_may_have_any_name(exported, tmp_path):
    images = uint8_images(3)
    named = shutil.copytree(exported[1], tmp_path / "mine.keras")
    expected = Classifier(exported[1]).logits(images)
    np.testing.assert_array_equal(Classifier(named).logits(images), expected)


def test_replaces_an_older_export_only(exported, tmp_path):
    model, path = exported
    export_saved_model(model, path, MEAN, STD, NAMES)
    assert is_export(path)
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(InputError, match="older SavedModel"):
        export_saved_model(model, tmp_path, MEAN, STD, NAMES)
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"


def test_refuses_what_is_no_saved_model_of_ours(tmp_path):
    with pytest.raises(InputError, match="must be the folder of a SavedModel"):
        Classifier(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(InputError, match="a classifier of this program's"):
        Classifier(tmp_path / "other")


@pytest.mark.parametrize("older", [False, True])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(exported, tmp_path, older):
    model, _ = exported
    path = tmp_path / "saved"
    if older:
        export_saved_model(model, path, MEAN, STD, NAMES)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*saved'"):
            export_saved_model(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"] * older
    if older:
        assert Classifier(path).class_names == NAMES


@pytest.mark.parametrize("name", ["a[0.1]", "a*", "a?", "a\\b"])
def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused(
    exported, tmp_path, name
):
    model, path = exported
    for folder in (name, f"{name}/inside"):
        with pytest.raises(InputError, match=r"without \* \? \[.*a.*"):
            export_saved_model(model, tmp_path / folder)
    assert not any(tmp_path.iterdir())
    (tmp_path / name).symlink_to(path)
    with pytest.raises(InputError, match=r"without \* \? \["):
        Classifier(tmp_path / name)


def test_a_subclassed_model_does_not_say_what_it_takes(tmp_path):
    class Subclassed(keras.Model):
        def __init__(self, **config):
            super().__init__(**config)
            self.dense = layers.SupermaskDense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model(np.zeros((1, 3)))
    for name in ("model", "model.tflite", "model.onnx"):
        with pytest.raises(InputError, match=r"wrapped as keras\.Model"):
            export_model(model, tmp_path / name)
    inputs = keras.Input((3,), name="numbers")
    path = export_saved_model(keras.Model(inputs, model(inputs)), tmp_path / "wrapped")
    serve = tf.saved_model.load(path).signatures["serving_default"]
    ones = np.ones((2, 3), "float32")
    np.testing.assert_allclose(
        serve(numbers=tf.constant(ones))["output_0"], model(ones), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "argument"), [("input-1", "input_1"), ("1st", "arg_1st"), ("x", "x")]
)
def test_inputs_of_any_name_nested_outputs_and_variables_of_tensorflow(
    name, argument, tmp_path
):
    class Scale(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(3.0)

        def call(self, inputs):
            return self.scale * inputs

    inputs = keras.Input((4,), name=name)
    one = layers.SupermaskDense(3)(Scale()(inputs))
    outputs = {"last": one, "all": [layers.SupermaskDense(2)(one), one]}
    model = keras.Model(inputs, outputs)
    path = export_saved_model(model, tmp_path / "saved")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    ones = np.ones((2, 4), "float32")
    found = serve(**{argument: tf.constant(ones)})
    for index, expected in enumerate(keras.tree.flatten(model(ones))):
        np.testing.assert_allclose(found[f"output_{index}"], expected, rtol=1e-5)


def strings(**options):
    lookup = keras.layers.StringLookup(output_mode="multi_hot", **options)
    return lookup, [["a", "c"], ["?", "b"]]


def strings_of_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\nc\n")
    return strings(vocabulary=str(tmp_path / "words.txt"))


def integers(tmp_path):
    lookup = keras.layers.IntegerLookup(vocabulary=[3, 5], output_mode="multi_hot")
    return lookup, np.array([[3, 3], [7, 5]])


def text(tmp_path):
    vocabulary = ["one", "two"]
    layer = keras.layers.TextVectorization(vocabulary=vocabulary, output_mode="count")
    return layer, [["one two one"], ["three"]]


@pytest.mark.parametrize(
    "make",
    [lambda _: strings(vocabulary=["a", "b"]), strings_of_a_file, integers, text],
)
@pytest.mark.parametrize("nested", [False, True])
def test_tables_of_words_are_exported(make, nested, tmp_path):
    lookup, given = make(tmp_path)
    given = tf.constant(given)
    inputs = keras.Input(given.shape[1:], dtype=given.dtype, name="given")
    looked_up = keras.Model(inputs, lookup(inputs)) if nested else lookup
    outputs = layers.SupermaskDense(3)(looked_up(inputs))
    model = keras.Model(inputs, outputs)
    path = export_saved_model(model, tmp_path / "saved")
    (tmp_path / "words.txt").unlink(missing_ok=True)
    moved = path.rename(tmp_path / "moved")
    signature = tf.saved_model.load(str(moved)).signatures["serving_default"]
    expected = model(given)
    assert len(np.unique(expected, axis=0)) == 2
    np.testing.assert_allclose(signature(given=given)["output_0"], expected, rtol=1e-5)
