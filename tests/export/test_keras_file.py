import subprocess
import sys

import numpy as np
import pytest

from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_model

from .conftest import MEAN, NAMES, STD, conv2, uint8_images


def test_needs_keras_alone(tmp_path):
    path = export_model(conv2(), tmp_path / "model.keras", MEAN, STD, NAMES)
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


def test_a_supermask_keras_file_is_no_classifier(tmp_path):
    conv2().save(tmp_path / "training.keras")
    with pytest.raises(InputError, match="exported with the mean and std"):
        Classifier(tmp_path / "training.keras")
