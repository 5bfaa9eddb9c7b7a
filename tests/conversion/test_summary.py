import keras
import numpy as np
from keras import layers as kl

from tfsupermask.conversion import convert, summary
from tfsupermask.layers import SupermaskDense


def model_of_many_kinds():
    image = keras.Input((6, 6, 3))
    x = kl.SeparableConv2D(40, 3, name="sep")(image)
    x = kl.BatchNormalization(name="bn")(x)
    inner = keras.Sequential([keras.Input((640,)), kl.Dense(50, name="in")])
    x = inner(kl.Flatten()(x))
    x = kl.Dense(9, activation=kl.PReLU(), use_bias=False, name="prelu")(x)
    model = keras.Model(image, kl.Dense(10, name="top")(x))
    model(np.zeros((1, 6, 6, 3)))  # builds the activation
    return convert(model, 0.7, skip="top", verbose=False)


def test_table():
    assert (
        summary(model_of_many_kinds())
        == """\
masked weight         class                     shape     weights  sparsity   kept
sep/depthwise_kernel  SupermaskSeparableConv2D  3×3×3×1        27     0.704      8
sep/pointwise_kernel  SupermaskSeparableConv2D  1×1×3×40      120     0.700     36
in/kernel             SupermaskDense            640×50     32,000     0.700  9,600
prelu/kernel          SupermaskDense            50×9          450     0.700    135
total                                                      32,597     0.700  9,779

trained without mask  class                     weights
sep                   SupermaskSeparableConv2D       40
bn                    BatchNormalization             80
in                    SupermaskDense                 50
prelu                 SupermaskDense                  9
top                   Dense                         100
total                                               279

frozen  class               weights
bn      BatchNormalization       80
total                            80

of 32,956 parameters 98.9 % are masked, 0.8 % trained without a mask, 0.2 % frozen"""
    )


def total(text, head="trained without mask"):
    table = next(part for part in text.split("\n\n") if part.startswith(head))
    return int(table.splitlines()[-1].removeprefix("total").replace(",", ""))


def test_follows_the_model():
    model, scores = model_of_many_kinds(), 32597
    trained = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert total(summary(model)) == trained - scores
    assert total(summary(model), "frozen") == 80
    model.get_layer("bn").trainable = False
    assert total(summary(model)) == trained - scores - 80
    assert total(summary(model), "frozen") == 160
    assert "not trained" not in summary(model)
    model.get_layer("sep").trainable = False
    assert summary(model).count("SupermaskSeparableConv2D (not trained)") == 2
    model.get_layer("prelu").sparsity = 0.0
    row = next(row for row in summary(model).splitlines() if "prelu/" in row).split()
    assert row[-3:] == ["450", "0.000", "450"]


def test_either_table_alone_or_none():
    masked = keras.Sequential([keras.Input((4,)), SupermaskDense(3)])
    assert "without mask" not in summary(masked)
    plain = keras.Sequential([keras.Input((4,)), kl.Dense(3, name="d")])
    assert summary(plain).splitlines() == [
        "trained without mask  class  weights",
        "d                     Dense       15",
        "total                             15",
        "",
        "of 15 parameters 0.0 % are masked, 100.0 % trained without a mask",
    ]
    plain.trainable = False
    assert summary(plain).splitlines() == [
        "frozen  class  weights",
        "d       Dense       15",
        "total               15",
        "",
        "of 15 parameters 0.0 % are masked, 100.0 % frozen",
    ]
    assert summary(keras.Sequential([keras.Input((4,)), kl.ReLU()])) == ""


class Scaled(keras.Model):
    def __init__(self):
        super().__init__(name="scaled")
        self.dense = SupermaskDense(3, name="used")
        self.unused = SupermaskDense(3, name="unused")
        self.scale = self.add_weight(shape=(3,), name="scale")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.scale * self.dense(inputs)


def test_weights_of_the_model_itself_come_last_and_unbuilt_layers_not_at_all():
    model = Scaled()
    model(np.zeros((1, 4)))
    text = summary(model)
    assert "unused" not in text
    table = text.split("\n\n")[1]
    assert table.splitlines()[-2].split() == ["scaled", "Scaled", "3"]
