"""
A supermask of your own Keras model in ten lines
================================================

You have a Keras model. :func:`~tfsupermask.conversion.convert` freezes its weights and
learns which of them to keep; :func:`~tfsupermask.conversion.fold` gives a plain Keras
model back, and a *ticket* keeps the result in a small file.
"""

# %%
# Any model will do: functional, Sequential, nested, one of ``keras.applications``.
# This one has a residual branch of separable convolutions, and knows nothing of
# supermasks.

import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import tfsupermask
from tfsupermask import data

keras.utils.set_random_seed(0)
digits = data.load("digits")
layers = keras.layers

image = keras.Input((32, 32, 3))
x = layers.Rescaling(1 / 127.5, offset=-1)(image)
x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
branch = layers.SeparableConv2D(32, 3, padding="same", activation="relu")(x)
x = layers.MaxPooling2D()(layers.add([x, branch]))
x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
x = layers.Flatten()(layers.MaxPooling2D()(x))
x = layers.Dense(256, activation="relu")(x)
model = keras.Model(image, layers.Dense(10, activation="softmax")(x))

# %%
# The ten lines. Half of every kernel's weights are removed; which half is what
# training finds out.

model = tfsupermask.convert(model, sparsity=0.5, initializer="signed_constant")
model.compile(
    keras.optimizers.SGD(0.1, momentum=0.9),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = model.fit(
    digits.train.images,
    digits.train.labels,
    epochs=8,
    validation_data=(digits.test.images, digits.test.labels),
    callbacks=[tfsupermask.SupermaskMetrics()],
    verbose=2,
).history

# %%
# The callback logs how much is removed and how many mask bits flipped since the epoch
# before: the mask settles while accuracy rises.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
epochs = np.arange(1, 1 + len(history["accuracy"]))
left.plot(epochs, history["accuracy"], ".-", label="train")
left.plot(epochs, history["val_accuracy"], ".-", label="test")
left.set(title="accuracy", xlabel="epoch")
left.legend()
right.plot(epochs, 100 * np.array(history["mask_churn"]), ".-")
right.set(title="mask bits flipped / %", xlabel="epoch")
plt.show()

# %%
# :func:`~tfsupermask.conversion.fold` bakes the masks in. The result is Keras alone,
# with the same outputs.

plain = tfsupermask.fold(model)
sample = digits.test.images[:100]
print({type(layer).__module__.split(".")[0] for layer in plain.layers})
print(np.abs(plain.predict(sample, verbose=0) - model.predict(sample, verbose=0)).max())

# %%
# A plain file keeps the removed weights as zeros, so it is no smaller than before.
# The ticket holds a mask of one bit a weight, and the recipe and seed that draw the
# frozen weights again.

folder = Path(tempfile.mkdtemp())
plain.save(folder / "model.keras")
tfsupermask.save_ticket(model, folder / "model.ticket", class_names=digits.class_names)
for file in sorted(folder.iterdir()):
    print(f"{file.name:<14}{file.stat().st_size / 1000:8.1f} kB")

ticket = tfsupermask.load_ticket(folder / "model.ticket")
same = ticket.model.predict(sample, verbose=0) == model.predict(sample, verbose=0)
print("the same outputs from the ticket:", bool(same.all()))

# %%
# ``convert`` takes one sparsity a layer as well, spares what it is told to, and
# starts from magnitude pruning where the given weights mean something:
#
# .. code-block:: python
#
#     tfsupermask.convert(
#         pretrained,
#         sparsity={"stem*": 0.2, "*": 0.8},
#         skip=["predictions"],
#         scores="magnitude",
#     )
