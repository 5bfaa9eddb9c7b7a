import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_saved_model, is_saved_model

MEAN, STD = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.25, 0.3])
NAMES = tuple(f"größe {i}" for i in range(10))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = models.build("conv2", (8, 8, 3), sparsity=0.5)
    path = tmp_path_factory.mktemp("export") / "saved"
    return model, export_saved_model(model, path, MEAN, STD, NAMES)


def uint8_images(count):
    return np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("count", [1, 7])
def test_normalises_by_itself(exported, count):
    model, path = exported
    images = uint8_images(count)
    expected = model((images / np.float32(255) - MEAN) / STD)
    np.testing.assert_allclose(
        Classifier(path).logits(images), expected, rtol=1e-5, atol=1e-6
    )


def test_signatures_say_what_they_take(exported):
    loaded = tf.saved_model.load(str(exported[1]))
    for name, dtype in (("serving_default", tf.uint8), ("float_images", tf.float32)):
        (_, arguments) = loaded.signatures[name].structured_input_signature
        assert arguments["images"].dtype == dtype
        assert arguments["images"].shape.as_list() == [None, 8, 8, 3]
        outputs = loaded.signatures[name].structured_outputs
        assert set(outputs) == {"logits", "probabilities", "class_names"}


def test_float_images_run_from_zero_to_one(exported):
    loaded, images = tf.saved_model.load(str(exported[1])), uint8_images(3)
    one = loaded.signatures["serving_default"](images=tf.constant(images))
    two = loaded.signatures["float_images"](
        images=tf.constant(images / np.float32(255))
    )
    np.testing.assert_allclose(one["logits"], two["logits"], rtol=1e-3, atol=1e-6)


def test_classifier_knows_names_and_size(exported):
    classifier = Classifier(exported[1])
    assert classifier.class_names == NAMES
    assert classifier.image_shape == (8, 8, 3)
    probabilities = classifier.probabilities(uint8_images(4))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_replaces_an_older_export_only(exported, tmp_path):
    model, path = exported
    export_saved_model(model, path, MEAN, STD, NAMES)
    assert is_saved_model(path)
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(InputError, match="older SavedModel"):
        export_saved_model(model, tmp_path, MEAN, STD, NAMES)
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"


def test_refuses_what_is_no_saved_model_of_ours(tmp_path):
    with pytest.raises(InputError, match="must be the folder of a SavedModel"):
        Classifier(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(InputError, match="that this program wrote"):
        Classifier(tmp_path / "other")
