import subprocess
import sys

import keras
import numpy as np
import pytest

from tfsupermask import layers, models
from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_keras

from .conftest import MEAN, NAMES, STD, conv2, uint8_images


def test_holds_masked_kernels(tmp_path):
    model = models.build("conv2", (8, 8, 3), sparsity=0.9)
    loaded = keras.models.load_model(export_keras(model, tmp_path / "model.keras"))
    for source in layers.supermask_layers(model):
        kernel = loaded.get_layer(source.name).kernel.numpy()
        np.testing.assert_array_equal(kernel, source.kernel * source.mask)


def test_needs_keras_alone(tmp_path):
    path = export_keras(conv2(), tmp_path / "model.keras", MEAN, STD, NAMES)
    np.save(tmp_path / "images.npy", uint8_images(3))
    program = (
        "import sys, keras, numpy as np;"
        f"model = keras.models.load_model({str(path)!r});"
        f"outputs = model(np.load({str(tmp_path / 'images.npy')!r}));"
        "assert not any(name.startswith('tfsupermask') for name in sys.modules);"
        f"np.save({str(tmp_path / 'logits.npy')!r}, outputs['logits'])"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"),
        Classifier(path).logits(uint8_images(3)),
        rtol=1e-4,
        atol=1e-7,
    )


def test_a_failed_save_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"precious")

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        export_keras(conv2(), path)
    assert path.read_bytes() == b"precious"


def test_a_supermask_keras_file_is_no_classifier(tmp_path):
    conv2().save(tmp_path / "training.keras")
    with pytest.raises(InputError, match="exported with the mean and std"):
        Classifier(tmp_path / "training.keras")
