"""
What PatchesInit sees
=====================

*PatchesInit* makes the frozen filters of patterns that it finds in the training images
(thesis, Algorithm 1). Here it is, step by step, on the embedded digits.
"""

# %%
# Boxes that may hold an object, and patches sampled from them
# ------------------------------------------------------------
# Selective search proposes boxes. Those that cover more than half of the image tell
# little and are dropped; patches come from the rest (thesis, Figure 4.2).

import keras
import matplotlib.pyplot as plt
import numpy as np

from tfsupermask import data, models, patches
from tfsupermask.init import PatchesInit
from tfsupermask.layers import dense_forward, supermask_layers

digits = data.load("digits")
images, labels = digits.train.images, digits.train.labels

figure, axes = plt.subplots(1, 5, figsize=(10, 2.2))
for axis, image, boxes in zip(
    axes, images[:5], patches.propose_filtered_boxes(images[:5], 3, 3), strict=True
):
    axis.imshow(image)
    axis.set_axis_off()
    for top, left, height, width in boxes:
        corner = (left - 0.5, top - 0.5)
        axis.add_patch(plt.Rectangle(corner, width, height, fill=False, ec="tab:red"))
plt.show()

# %%
# From patches to filters, layer by layer
# ---------------------------------------
# The patches are clustered. Clusters whose patches come from few classes have a low
# label entropy. All layers but the last want general patterns (high entropy first),
# the last one discriminative ones (low entropy first). The patch nearest the centroid
# becomes a filter; what passes it is where the next layer's patches come from.


def normalise(batch):
    """What the network takes."""
    return (np.float32(batch) / 255 - digits.mean) / digits.std


model = models.build("conv4", input_shape=digits.image_shape, num_classes=10)
init = PatchesInit(num_patches=5000, num_clusters=300, seed=0)
report = init.apply(model, images, labels, normalise)
print(report)

# %%
# The first layer's patterns, where they come from and the filters they became:

first = report.layers[0]
layer = supermask_layers(model)[0]
figure, axes = plt.subplots(3, 10, figsize=(10, 3.4))
for column, (top, middle, bottom) in enumerate(axes.T):
    row, left = first.row[column], first.column[column]
    image = np.pad(images[first.image[column]], ((3, 3), (3, 3), (0, 0)))
    top.imshow(image)
    top.add_patch(plt.Rectangle((left + 2.5, row + 2.5), 3, 3, fill=False, ec="red"))
    middle.imshow(image[row + 3 : row + 6, left + 3 : left + 6])
    weights = layer.kernel.numpy()[..., column]
    bottom.imshow((weights - weights.min()) / np.ptp(weights))
    for axis in (top, middle, bottom):
        axis.set_axis_off()
for axis, title in zip(axes[:, 0], ("image", "pattern", "filter"), strict=True):
    axis.set_title(title, fontsize=9)
plt.show()

# %%
# What deeper layers respond to
# -----------------------------
# Mean activation of each layer's filters for three digits, all weights kept, as
# PatchesInit itself looks at them.

shown = [int(np.flatnonzero(labels == digit)[0]) for digit in (0, 1, 7)]
figure, axes = plt.subplots(3, 5, figsize=(10, 6))
for row, index in zip(axes, shown, strict=True):
    row[0].imshow(images[index])
    for axis, layer in zip(row[1:], supermask_layers(model)[:4], strict=True):
        until = keras.Model(model.input, layer.output)
        with dense_forward(model):
            maps = until(normalise(images[index : index + 1]))
        axis.imshow(np.asarray(maps)[0].mean(-1), cmap="magma")
        axis.set_title(layer.name, fontsize=9)
    for axis in row:
        axis.set_axis_off()
plt.show()
