import keras
import numpy as np
import pytest

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.export.inference import check_preprocessing

from .conftest import MEAN, NAMES, STD
from .conftest import refused_conv2 as conv2


def subclassed():
    class Model(keras.Model):
        def call(self, inputs):
            return inputs

    return Model()


def dense():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(10)])


@pytest.mark.parametrize(
    ("model", "mean", "std", "names", "message"),
    [
        (conv2, MEAN, None, None, "`mean` and `std` must be given together"),
        (conv2, None, STD, None, "`mean` and `std` must be given together"),
        (conv2, None, None, NAMES, "only with them.*class_names=.'größe 0"),
        (conv2, [0.5], STD, None, r"3 finite numbers.*mean=\[0.5\]"),
        (conv2, MEAN, 0.2, None, "3 finite numbers"),
        (conv2, MEAN, [1, 0, 1], None, r"positive.*std=\[1.0, 0.0, 1.0\]"),
        (conv2, MEAN, -STD, None, "those of `std` positive"),
        (conv2, [0, np.nan, 0], STD, None, "finite numbers.*nan"),
        (conv2, MEAN, STD, NAMES[:9], "10 names, one a logit.*class_names=9"),
        (dense, MEAN, STD, None, r"from images.*input_shape=\(None, 3\)"),
        (subclassed, MEAN, STD, None, "from images.*input_shape=None"),
    ],
)
def test_what_does_not_fit_is_refused(model, mean, std, names, message):
    with pytest.raises(InputError, match=message):
        check_preprocessing(model(), mean, std, names)


def test_names_default_to_numbers_and_nothing_to_none():
    model = models.build("conv2", (8, 8, 3), num_classes=3)
    assert check_preprocessing(model, MEAN, STD, None).class_names == ("0", "1", "2")
    assert check_preprocessing(model, None, None, None) is None
