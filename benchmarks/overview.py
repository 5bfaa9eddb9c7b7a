"""Draws from a run how its supermask came about: the first picture of the README.

    python -m benchmarks.overview --path=runs/… --image=14 --output=overview.png

The run was `python -m binaries.train --dataset=cifar10 --data_dir=… --epochs=3
--limit_images=10000`. Any run with patches will do.
"""

from __future__ import annotations

from absl import flags
from matplotlib.figure import Figure

from binaries import _program
from tfsupermask import data, train
from tfsupermask._validation import fail
from tfsupermask.layers import masked_weights
from tfsupermask.runs import PATCH_INITS
from tfsupermask.train import events
from tfsupermask.train.pictures import boxes_and_patches, outline

_PATH = flags.DEFINE_string("path", None, "Folder of the run.", required=True)
_IMAGE = flags.DEFINE_integer("image", 0, "Which of the images that patches are from.")
_OUTPUT = flags.DEFINE_string("output", "overview.png", "The picture.")


def draw(run: train.LoadedRun, split: data.Split, index: int) -> Figure:
    """Draws one image with its boxes and patches, the first filters, and their mask."""
    config, size = run.config, masked_weights(run.model)[0].layer.kernel_size
    if config.init not in PATCH_INITS:
        raise fail("The run's filters must come from patches.", init=config.init)
    if not 0 <= index < len(split):
        raise fail(f"`image` must be in [0, {len(split)}).", image=index)
    chosen, boxes, places = boxes_and_patches(split, size, config.seed, 1, first=index)
    (image,), (boxes,), (places,) = split.images[chosen], boxes, places
    filters = events.first_layer_pictures(run.model)
    figure = Figure(figsize=(12, 3), layout="constrained")
    axes = figure.subplots(1, 4)
    shown = (image, image, filters["kernel"], filters["kernel_times_mask"])
    for axis, picture in zip(axes, shown, strict=True):
        axis.imshow(picture)
        axis.set_axis_off()
    for box in boxes:
        outline(axes[0], box, "tab:red")
    for place in places:
        outline(axes[1], (*place, *size), "tab:cyan")
    return figure


def main():
    """Draws the picture of the run that the flags name."""
    run = train.load_run(_PATH.value)
    draw(run, train.load_images(run.config).patterns_from, _IMAGE.value).savefig(
        _OUTPUT.value, dpi=100, bbox_inches="tight", metadata={"Software": None}
    )


if __name__ == "__main__":
    _program.start(main)
