"""PatchesInit against Algorithm 1 of the thesis in loops."""

import contextlib
import math
import os
import warnings
from collections import Counter

import cv2
import keras
import numpy as np
import pytest

from tests.init.common import (
    convolutions,
    masked_net,
    plain_net,
    preprocess,
    tinted_digits,
)
from tfsupermask import _core, data
from tfsupermask.init import PatchesInit
from tfsupermask.layers import dense_forward
from tfsupermask.ops import derive_seed
from tfsupermask.patches import class_balanced_order, cluster, survey
from tfsupermask.patches.reduction import principal_components, project

CIFAR_DIR = os.environ.get("TFSUPERMASK_DATA_DIR")


def cifar10():
    split = data.load("cifar10", CIFAR_DIR).train
    return split.images[:200], split.labels[:200]


@pytest.fixture(
    scope="module",
    params=[
        lambda: tinted_digits(200),
        pytest.param(
            cifar10,
            marks=pytest.mark.skipif(not CIFAR_DIR, reason="no TFSUPERMASK_DATA_DIR"),
        ),
    ],
    ids=["digits", "cifar10"],
)
def images_and_labels(request):
    return request.param()


class Oracle:
    """Algorithm 1 in loops, after the thesis alone.

    It shares with the package the draws of images and positions, and the PCA and the
    k-means, which are compared with scikit-learn's elsewhere.
    """

    def __init__(
        self, P, C, D, seed, masked=False, num_components=27, double_from=math.inf
    ):
        self.P, self.C, self.D, self.seed, self.masked = P, C, D, seed, masked
        self.num_components, self.double_from = num_components, double_from

    def initialize(self, model, images, labels):
        order = class_balanced_order(labels, derive_seed(self.seed, "images"))
        steps = []
        for number, layer in enumerate(convolutions(model), start=1):
            if number == self.double_from:
                self.P, self.C = 2 * self.P, 2 * self.C
            maps = self.forward(model, layer, images, order)
            step = self.sample(number, layer, images, labels, order, maps)
            self.select(number, layer, step)
            step["kernel"] = self.eq_4_2(layer, step)
            layer.kernel.assign(step["kernel"])
            steps.append(step)
        return steps

    def forward(self, model, layer, images, order):
        """Returns the map of each image; masks are those of the model, or keep all."""
        with contextlib.nullcontext() if self.masked else dense_forward(model):
            until = keras.Model(model.inputs[0], layer.input)
            # In the package's order, so that sums are rounded alike.
            maps = until(preprocess(images[order])).numpy()
        return dict(zip(order, maps, strict=True))

    def sample(self, number, layer, images, labels, order, maps):
        step = {"values": [], "labels": [], "image": [], "row": [], "column": []}
        seed = derive_seed(self.seed, "patches", number)
        for turn, image in enumerate(order):
            grid = self.grid_positions(layer, maps[image])
            positions = (
                self.box_positions(layer, images[image]) if number == 1 else grid
            )
            drawn, _ = _core.sample_positions(
                np.array([0, len(positions)]), 50, seed, first_image=turn
            )
            for index in drawn:
                if len(step["values"]) == self.P:
                    return step
                row, column = positions[index]
                step["values"].append(self.crop(layer, maps[image], row, column))
                step["labels"].append(int(labels[image]))
                step["image"].append(image)
                step["row"].append(row)
                step["column"].append(column)
        assert len(step["values"]) == self.P
        return step

    def extent(self, layer):
        pairs = zip(layer.kernel_size, layer.dilation_rate, strict=True)
        return [(size - 1) * dilation + 1 for size, dilation in pairs]

    def box_positions(self, layer, image):
        height, width = image.shape[:2]
        h, w = self.extent(layer)
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        search.switchToSelectiveSearchFast()
        inside = set()
        for left, top, box_width, box_height in search.process().tolist():
            if box_width * box_height > 0.5 * height * width:
                continue
            for row in range(top, top + box_height - h + 1):
                for column in range(left, left + box_width - w + 1):
                    inside.add((row, column))
        everywhere = [
            (row, column)
            for row in range(height - h + 1)
            for column in range(width - w + 1)
        ]
        return sorted(inside) or everywhere

    def grid_positions(self, layer, one_map):
        axes = []
        for length, extent, stride in zip(
            one_map.shape, self.extent(layer), layer.strides, strict=False
        ):
            if layer.padding == "valid":
                starts = [s for s in range(0, length, stride) if s + extent <= length]
            else:
                outputs = math.ceil(length / stride)
                missing = max((outputs - 1) * stride + extent - length, 0)
                starts = [i * stride - missing // 2 for i in range(outputs)]
            axes.append(starts)
        return [(row, column) for row in axes[0] for column in axes[1]]

    def crop(self, layer, one_map, row, column):
        (h, w), (down, right) = self.extent(layer), layer.dilation_rate
        padded = np.pad(one_map, ((h, h), (w, w), (0, 0)))
        row, column = row + h, column + w
        return padded[row : row + h : down, column : column + w : right]

    def select(self, number, layer, step):
        flat = np.array([value.ravel() for value in step["values"]])
        points = self.reduce(flat)
        seed = derive_seed(self.seed, "kmeans", number)
        clusters = cluster(points, self.C or layer.filters, seed)
        assignment = clusters.assignment
        usable = [value.std() > 1e-5 * np.abs(flat).max() for value in flat]
        last = len(step["values"])
        candidates, sizes = [], []
        for c, centroid in enumerate(clusters.centroids):
            members = [i for i in range(last) if assignment[i] == c]
            sizes.append(len(members))
            varying = [i for i in members if usable[i]]
            if not varying:
                continue
            distances = [np.linalg.norm(points[i] - centroid) for i in varying]
            pattern = varying[int(np.argmin(distances))]
            counts = sorted(Counter(step["labels"][i] for i in members).values())
            shares = [count / len(members) for count in counts]
            entropy = -sum(share * math.log2(share) for share in shares)
            sign = 1 if number >= self.D else -1
            rank = (len(members) < 5, sign * entropy, -len(members), c)
            candidates.append((rank, pattern, entropy, len(members)))
        chosen = sorted(candidates)[: layer.filters]
        step["patterns"] = [pattern for _, pattern, _, _ in chosen]
        step["entropies"] = [entropy for _, _, entropy, _ in chosen]
        step["sizes"] = [size for _, _, _, size in chosen]
        step["num_clusters"] = sum(size > 0 for size in sizes)
        step["clusters_kept"] = sum(size >= 5 for size in sizes)
        step["flat"] = usable.count(False)

    def reduce(self, flat):
        summary = survey([flat])
        components = principal_components(summary, self.num_components)
        return project([flat], summary.mean, components)

    def eq_4_2(self, layer, step):
        height, width, channels, filters = layer.kernel.shape
        fan_in, fan_out = height * width * channels, height * width * filters
        kernel = np.zeros(layer.kernel.shape)
        for i, pattern in enumerate(step["patterns"]):
            value = step["values"][pattern].astype(np.float64)
            normalised = (value - value.mean()) / value.std()
            kernel[..., i] = normalised * math.sqrt(2) / math.sqrt(fan_in + fan_out)
        return kernel


@pytest.mark.parametrize(
    ("net", "P", "C", "D", "forward", "options"),
    [
        (masked_net, 1000, 40, None, "dense", {}),
        (masked_net, 1000, 40, 2, "masked", {}),
        (plain_net, 700, 30, None, "dense", {}),
        (plain_net, 2000, 60, 1, "dense", {}),
        (plain_net, 1000, 40, 4, "dense", {}),
        (masked_net, 500, None, None, "dense", {}),
        (masked_net, 500, 40, None, "dense", {"num_components": 64}),
        (plain_net, 500, 40, None, "dense", {"num_components": 5}),
        (masked_net, 500, 30, None, "dense", {"double_from": 2}),
        (plain_net, 400, 30, 1, "dense", {"double_from": 1}),
        (plain_net, 400, 30, 2, "dense", {"double_from": 4}),
    ],
)
def test_every_stage_equals_algorithm_1_in_loops(
    images_and_labels, net, P, C, D, forward, options
):
    images, labels = images_and_labels
    model, oracle_model = net(), net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = PatchesInit(P, C, D, seed=3, forward=forward, **options).apply(
            model, images, labels, preprocess
        )
    oracle = Oracle(P, C, D or 3, seed=3, masked=forward == "masked", **options)
    steps = oracle.initialize(oracle_model, images, labels)
    for layer, step, done in zip(
        convolutions(model), steps, report.layers, strict=True
    ):
        assert done.layer == layer.name
        assert done.num_patches == len(step["values"])
        for name in ("image", "row", "column"):
            expected = [step[name][pattern] for pattern in step["patterns"]]
            assert getattr(done, name).tolist() == expected
        assert done.sizes.tolist() == step["sizes"]
        assert done.num_clusters == step["num_clusters"]
        assert done.clusters_kept == step["clusters_kept"]
        np.testing.assert_allclose(done.entropies, step["entropies"], atol=1e-9)
        assert done.mean_entropy == pytest.approx(np.mean(step["entropies"]))
        np.testing.assert_allclose(layer.kernel.numpy(), step["kernel"], atol=1e-6)


def test_flat_patches_are_never_chosen(digits):
    images, labels = digits
    images = images.copy()
    images[:, :, 16:] = 0
    steps = Oracle(500, 20, 3, seed=0).initialize(masked_net(), images, labels)
    assert steps[0]["flat"] > 0
    model = masked_net()
    report = PatchesInit(500, 20).apply(model, images, labels, preprocess)
    for layer, done in zip(convolutions(model), report.layers, strict=True):
        height, width, channels, filters = layer.kernel.shape
        expected = math.sqrt(2 / (height * width * (channels + filters)))
        deviations = layer.kernel.numpy().reshape(-1, filters).std(axis=0)
        np.testing.assert_allclose(deviations, expected, rtol=1e-5)
        assert len(done.image) == filters
