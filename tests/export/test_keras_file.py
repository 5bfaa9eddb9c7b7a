import zipfile

import pytest

from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_model

from .conftest import MEAN, NAMES, STD, conv2


def test_needs_keras_alone(tmp_path):
    path = export_model(conv2(), tmp_path / "model.keras", MEAN, STD, NAMES)
    with zipfile.ZipFile(path) as archive:
        assert b"tfsupermask" not in archive.read("config.json")


def test_a_supermask_keras_file_is_no_classifier(tmp_path):
    conv2().save(tmp_path / "training.keras")
    with pytest.raises(InputError, match="exported with the mean and std"):
        Classifier(tmp_path / "training.keras")
