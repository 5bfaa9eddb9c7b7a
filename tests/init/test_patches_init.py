import functools
import io
import math
import os
import subprocess
import sys
import warnings
from collections import Counter

import cv2
import keras
import numpy as np
import pytest

from tfsupermask import _core, data
from tfsupermask import patches as patches_package
from tfsupermask._validation import InputError
from tfsupermask.init import PatchesInit, SimpleInit
from tfsupermask.init import activations as activations_module
from tfsupermask.init import patches_init as patches_init_module
from tfsupermask.layers import SupermaskConv2D, SupermaskDense, supermask_layers
from tfsupermask.ops import derive_seed
from tfsupermask.patches import Clusters, class_balanced_order, cluster
from tfsupermask.patches import sampling as sampling_module
from tfsupermask.patches import stream as stream_module

CIFAR_DIR = os.environ.get("TFSUPERMASK_DATA_DIR")


def tinted_digits():
    split = data.load("digits").train
    tints = np.random.default_rng(0).uniform(0.1, 1, (200, 1, 1, 3))
    return np.rint(split.images[:200] * tints).astype(np.uint8), split.labels[:200]


def cifar10():
    split = data.load("cifar10", CIFAR_DIR).train
    return split.images[:200], split.labels[:200]


@pytest.fixture(scope="module")
def digits():
    return tinted_digits()


@pytest.fixture(
    scope="module",
    params=[
        tinted_digits,
        pytest.param(
            cifar10,
            marks=pytest.mark.skipif(not CIFAR_DIR, reason="no TFSUPERMASK_DATA_DIR"),
        ),
    ],
)
def images_and_labels(request):
    return request.param()


def preprocess(images):
    return ((images / 255 - 0.4) / 0.25).astype(np.float32)


def build(*layers, size=(32, 32), channels=3):
    return keras.Sequential([keras.Input((*size, channels)), *layers])


def masked_net():
    keras.utils.set_random_seed(0)  # before layers choose their seeds
    return build(
        SupermaskConv2D(6, 3, padding="same", activation="relu", sparsity=0.6),
        keras.layers.MaxPooling2D(),
        SupermaskConv2D(8, 3, strides=2, activation="relu", sparsity=0.6),
        SupermaskConv2D(10, 3, padding="same", dilation_rate=2, sparsity=0.6),
        keras.layers.Flatten(),
        SupermaskDense(10),
    )


def plain_net():
    keras.utils.set_random_seed(0)  # before layers choose their seeds
    return build(
        keras.layers.Conv2D(5, (5, 3), bias_initializer="random_normal"),
        keras.layers.LeakyReLU(),
        keras.layers.Conv2D(7, (2, 4), strides=2, padding="same", activation="relu"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Conv2D(9, 3, dilation_rate=(2, 1)),
        keras.layers.GlobalAveragePooling2D(),
    )


NETS = [masked_net, plain_net]


def convolutions(model):
    return [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]


def kernels(model):
    return [layer.kernel.numpy() for layer in convolutions(model)]


def assert_same_kernels(first, second, **tolerance):
    for a, b in zip(kernels(first), kernels(second), strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 0, "atol": 0, **tolerance})


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
        real = [(x, x.kernel.numpy()) for x in supermask_layers(model)]
        for masked_layer, kernel in real:
            mask = masked_layer.mask.numpy() if self.masked else 1
            masked_layer.kernel.assign(kernel * mask)
            masked_layer.sparsity, before = 0.0, masked_layer.sparsity
            masked_layer.before = before
        until = keras.Model(model.inputs[0], layer.input)
        # Batches as the package makes them, so that sums are rounded alike.
        maps = {}
        for first in range(0, len(order), 250):
            batch = order[first : first + 250]
            maps.update(
                zip(batch, until(preprocess(images[batch])).numpy(), strict=True)
            )
        for masked_layer, kernel in real:
            masked_layer.kernel.assign(kernel)
            masked_layer.sparsity = masked_layer.before
        return maps

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
        summary = patches_package.survey([flat])
        components = patches_package.principal_components(summary, self.num_components)
        return patches_package.project([flat], summary.mean, components)

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


def test_provenance_points_at_the_pixels_of_each_first_filter(digits):
    images, labels = digits
    model = masked_net()
    report = PatchesInit(500, 20).apply(model, images, labels, preprocess)
    done, kernel = report.layers[0], kernels(model)[0]
    for i, (image, row, column) in enumerate(
        zip(done.image, done.row, done.column, strict=True)
    ):
        crop = preprocess(images[image][row : row + 3, column : column + 3])
        crop = crop.astype(np.float64)
        expected = (crop - crop.mean()) / crop.std() * math.sqrt(2 / (27 + 54))
        np.testing.assert_allclose(kernel[..., i], expected, atol=1e-6)


def calls_of_cluster(monkeypatch):
    """Returns a list that gets the P, components and C of each layer clustered."""
    seen = []

    def watched(projections, num_clusters, seed):
        seen.append((*projections.shape, num_clusters))
        return cluster(projections, num_clusters, seed)

    monkeypatch.setattr(patches_package, "cluster", watched)
    return seen


@pytest.mark.parametrize(
    ("num_components", "expected"),
    [(None, [27, 27, 27]), (64, [27, 54, 64]), (100, [27, 54, 72]), (1, [1, 1, 1])],
)
@pytest.mark.parametrize(
    "kind", [functools.partial(PatchesInit, num_clusters=20), SimpleInit]
)
def test_patches_keep_as_many_dimensions_as_they_have_at_most(
    monkeypatch, digits, num_components, expected, kind
):
    options = {} if num_components is None else {"num_components": num_components}
    seen = calls_of_cluster(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind(300, **options).apply(masked_net(), *digits, preprocess)
    assert [components for _, components, _ in seen] == expected


@pytest.mark.parametrize(
    ("double_from", "expected"),
    [
        (None, [(300, 20), (300, 20), (300, 20)]),
        (1, [(600, 40), (600, 40), (600, 40)]),
        (2, [(300, 20), (600, 40), (600, 40)]),
        (3, [(300, 20), (300, 20), (600, 40)]),
        (4, [(300, 20), (300, 20), (300, 20)]),
    ],
)
def test_twice_as_many_patches_and_clusters_from_a_layer_on(
    monkeypatch, digits, double_from, expected
):
    seen = calls_of_cluster(monkeypatch)
    model = masked_net()
    report = PatchesInit(300, 20, double_from=double_from).apply(
        model, *digits, preprocess
    )
    assert [(count, clusters) for count, _, clusters in seen] == expected
    assert [done.num_patches for done in report.layers] == [p for p, _ in expected]


def test_layers_left_out_count_too(monkeypatch, digits):
    seen = calls_of_cluster(monkeypatch)
    model = masked_net()
    second = convolutions(model)[1].name
    PatchesInit(300, 20, only=[second], double_from=2).apply(model, *digits, preprocess)
    assert [(count, clusters) for count, _, clusters in seen] == [(600, 40)]


@pytest.mark.parametrize("double_from", [None, 2])
def test_the_bar_ends_where_the_work_does(monkeypatch, digits, tmp_path, double_from):
    bars = []

    class Bar(patches_init_module.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, "disable": False, "file": io.StringIO()})
            bars.append(self)

    monkeypatch.setattr(patches_init_module, "tqdm", Bar)
    done = PatchesInit(300, 20, double_from=double_from)
    layers = [300, 600, 600] if double_from else [300, 300, 300]
    done.apply(masked_net(), *digits, preprocess, tmp_path)
    (tmp_path / "layer_003.npz").unlink()
    done.apply(masked_net(), *digits, preprocess, tmp_path)
    assert [bar.n for bar in bars] == [3 * sum(layers), 3 * layers[-1]]
    assert [bar.total for bar in bars] == [bar.n for bar in bars]


@pytest.mark.parametrize("options", [{"num_components": 5}, {"double_from": 1}])
def test_layers_done_with_other_settings_do_not_count(digits, tmp_path, options):
    first, second = masked_net(), masked_net()
    PatchesInit(300, 20).apply(first, *digits, preprocess, tmp_path)
    PatchesInit(300, 20, **options).apply(second, *digits, preprocess, tmp_path)
    for a, b in zip(kernels(first), kernels(second), strict=True):
        assert (a != b).any()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("chunk", [7, 1000])
def test_chunks_do_not_change_the_kernels(monkeypatch, digits, net, chunk):
    models = [net(), net()]
    PatchesInit(1000, 20).apply(models[0], *digits, preprocess)
    monkeypatch.setattr(sampling_module, "_IMAGES_PER_CHUNK", chunk)
    monkeypatch.setattr(stream_module, "_IMAGES_PER_BATCH", chunk)
    PatchesInit(1000, 20).apply(models[1], *digits, preprocess)
    assert_same_kernels(*models)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kept", [0, 2**18])
def test_what_is_kept_does_not_change_the_kernels(monkeypatch, digits, net, kept):
    models = [net(), net()]
    PatchesInit(1000, 20).apply(models[0], *digits, preprocess)
    monkeypatch.setattr(activations_module, "_BYTES_KEPT", kept)
    PatchesInit(1000, 20).apply(models[1], *digits, preprocess)
    assert_same_kernels(*models)


@pytest.mark.parametrize(
    ("changes", "same"), [({"seed": 0}, True), ({"seed": 1}, False)]
)
def test_kernels_are_a_function_of_the_seed(digits, changes, same):
    first, second = masked_net(), masked_net()
    PatchesInit(500, 20).apply(first, *digits, preprocess)
    keras.utils.set_random_seed(99)
    PatchesInit(500, 20, **changes).apply(second, *digits, preprocess)
    for a, b in zip(kernels(first), kernels(second), strict=True):
        assert (a == b).all() == same


KERNELS_OF_A_PROCESS = """
import hashlib, sys
import keras, tensorflow as tf
threads = int(sys.argv[1])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
from tfsupermask import data, models
from tfsupermask.init import PatchesInit
split = data.load("digits").train
model = models.build("conv2", input_shape=(32, 32, 3), num_classes=10)
PatchesInit(2000, 70).apply(model, split.images, split.labels, lambda x: x / 255)
for layer in model.layers:
    if isinstance(layer, keras.layers.Conv2D):
        print(hashlib.sha256(layer.kernel.numpy().tobytes()).hexdigest())
"""


def test_threads_do_not_change_the_kernels():
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", KERNELS_OF_A_PROCESS, str(threads)],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for threads in (4, 1)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    hashes = [output.split() for output, _ in outputs]
    assert len(hashes[0]) == 2
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("D", "expected"),
    [
        (None, [False, False, True]),
        (1, [True, True, True]),
        (2, [False, True, True]),
        (3, [False, False, True]),
        (4, [False, False, False]),
    ],
)
def test_low_entropy_comes_first_from_layer_D_on(digits, D, expected):  # noqa: N802
    report = PatchesInit(1000, 40, D).apply(masked_net(), *digits, preprocess)
    assert [done.discriminative for done in report.layers] == expected
    for done in report.layers:
        large = done.entropies[done.sizes >= 5]
        step = np.diff(large)
        assert (step >= 0).all() if done.discriminative else (step <= 0).all()


def test_masked_forward_differs_from_dense_after_the_first_layer(digits):
    dense, masked = masked_net(), masked_net()
    PatchesInit(500, 20, forward="dense").apply(dense, *digits, preprocess)
    PatchesInit(500, 20, forward="masked").apply(masked, *digits, preprocess)
    first, *later = zip(kernels(dense), kernels(masked), strict=True)
    np.testing.assert_array_equal(*first)
    assert all((a != b).any() for a, b in later)


@pytest.mark.parametrize("forward", ["dense", "masked"])
def test_only_kernels_of_convolutions_change(digits, forward):
    model = masked_net()
    before = {weight.path: weight.numpy() for weight in model.weights}
    sparsities = [layer.sparsity for layer in supermask_layers(model)]
    PatchesInit(500, 20, forward=forward).apply(model, *digits, preprocess)
    assert [layer.sparsity for layer in supermask_layers(model)] == sparsities
    set_kernels = {layer.kernel.path for layer in convolutions(model)}
    assert len(set_kernels) == 3
    for weight in model.weights:
        changed = (weight.numpy() != before[weight.path]).any()
        assert changed == (weight.path in set_kernels)


def test_simple_init_uses_every_cluster_without_selection(digits):
    first, second = masked_net(), masked_net()
    reports = [
        SimpleInit(500, seed=4).apply(first, *digits, preprocess),
        PatchesInit(500, num_clusters=None, seed=4).apply(second, *digits, preprocess),
    ]
    assert_same_kernels(first, second)
    for report in reports:
        for layer, done in zip(convolutions(first), report.layers, strict=True):
            assert len(done.sizes) + done.added_patches == layer.filters
            assert done.added_patches or done.sizes.sum() == 500


def clusters_of_sizes(*sizes, empty=0):
    """Crafted clusters; the first patch of each is at its centroid."""
    assignment = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    distance = np.concatenate([np.arange(size) for size in sizes]).astype(np.float32)
    return Clusters(assignment, distance, np.zeros((len(sizes) + empty, 1), np.float32))


@pytest.mark.parametrize(
    ("clusters", "numbers"),
    [
        (clusters_of_sizes(10, 9, 8, 7, 6, 4), (5, 1, 0)),
        (clusters_of_sizes(28, 6, 4, 3, 3), (2, 3, 1)),
        (clusters_of_sizes(40, 4, empty=4), (1, 1, 4)),
        (clusters_of_sizes(44, empty=5), (1, 0, 5)),
    ],
)
def test_small_clusters_then_single_patches_fill_up(monkeypatch, clusters, numbers):
    kept, small, single = numbers
    monkeypatch.setattr(patches_package, "cluster", lambda *_: clusters)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    model = build(keras.layers.Conv2D(6, 3, name="stem"), size=(8, 8))
    message = (
        rf"'stem' needs 6 clusters of at least 5 patches: {kept} were found, "
        rf"{small} smaller clusters and {single} single patches"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        report = PatchesInit(44, 10).apply(model, images, np.arange(4))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    (done,) = report.layers
    assert done.clusters_kept == kept
    assert (done.sizes >= 5).tolist() == [True] * kept + [False] * small
    assert done.added_patches == single
    places = set(zip(done.image, done.row, done.column, strict=True))
    assert len(places) == 6


def test_clusters_of_flat_patches_alone_are_passed_over(monkeypatch):
    monkeypatch.setattr(
        patches_package, "cluster", lambda *_: clusters_of_sizes(20, 14, 10)
    )
    monkeypatch.setattr(
        patches_package,
        "not_flat",
        lambda survey: np.arange(len(survey.deviation)) >= 20,
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    model = build(keras.layers.Conv2D(6, 3), size=(8, 8))
    with pytest.warns(UserWarning, match="2 were found, 0 smaller .* and 4 single"):
        report = PatchesInit(44, 10).apply(model, images, np.arange(4))
    assert sorted(report.layers[0].sizes) == [10, 14]


def test_activations_are_those_of_inference(digits):
    def net(*between):
        return build(
            keras.layers.Conv2D(6, 3, activation="relu"),
            *between,
            keras.layers.Conv2D(7, 3),
        )

    plain, with_dropout = net(), net(keras.layers.Dropout(0.5))
    with_norm = net(keras.layers.BatchNormalization())
    before = [weight.numpy() for weight in with_norm.non_trainable_weights]
    for model in (plain, with_dropout, with_norm):
        PatchesInit(500, 20).apply(model, *digits, preprocess)
    assert_same_kernels(plain, with_dropout)
    for weight, expected in zip(with_norm.non_trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)


def test_enough_clusters_give_no_warning(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchesInit(1000, 12).apply(masked_net(), *digits, preprocess)


@pytest.mark.parametrize(
    "before_first",
    [keras.layers.MaxPooling2D, lambda: keras.layers.ZeroPadding2D(3)],
    ids=["smaller map", "padded map"],
)
def test_first_convolution_may_see_a_map_of_another_size(digits, before_first):
    model = build(before_first(), keras.layers.Conv2D(6, 3))
    (before,) = kernels(model)
    PatchesInit(300, 20).apply(model, *digits, preprocess)
    assert (kernels(model)[0] != before).any()


def test_models_of_any_image_size_are_accepted(digits):
    fixed = build(keras.layers.Conv2D(6, 3), keras.layers.Conv2D(6, 3))
    free = build(
        keras.layers.Conv2D(6, 3), keras.layers.Conv2D(6, 3), size=(None, None)
    )
    for model in (fixed, free):
        PatchesInit(300, 20).apply(model, *digits, preprocess)
    assert_same_kernels(fixed, free)


def test_preprocess_defaults_to_a_cast(digits):
    models = [plain_net(), plain_net()]
    PatchesInit(300, 20).apply(models[0], *digits)
    PatchesInit(300, 20).apply(models[1], *digits, lambda x: x.astype(np.float32))
    assert_same_kernels(*models)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_patches": 0}, "num_patches=0"),
        ({"num_patches": 10.5}, "num_patches=10.5"),
        ({"num_clusters": 0}, "num_clusters=0"),
        ({"num_patches": 40, "num_clusters": 41}, "num_clusters=41, num_patches=40"),
        ({"discriminative_from": 0}, "discriminative_from=0"),
        ({"num_components": 0}, "num_components=0"),
        ({"num_components": None}, "num_components=None"),
        ({"double_from": 0}, "double_from=0"),
        ({"double_from": 1.5}, "double_from=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"forward": "sparse"}, "'dense', 'masked'.*forward='sparse'"),
    ],
)
def test_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        PatchesInit(**arguments)


def test_half_the_clusters_do_where_they_are_doubled(digits):
    PatchesInit(300, 9, double_from=3).apply(masked_net(), *digits, preprocess)
    PatchesInit(1500, 9, double_from=4).apply(plain_net(), *digits, preprocess)


def shrinking_net():
    keras.utils.set_random_seed(0)  # before layers choose their seeds
    return build(
        keras.layers.Conv2D(4, 3, strides=8, padding="same"),
        keras.layers.Conv2D(4, 3, padding="same"),
    )


def dead_net():
    return build(
        keras.layers.Conv2D(4, 3, activation=lambda x: 0 * x), keras.layers.Conv2D(4, 3)
    )


@pytest.mark.parametrize(
    ("net", "init", "change", "message"),
    [
        (
            masked_net,
            PatchesInit(500, 9),
            {},
            r"`num_clusters` .* 10 filters of layer 'supermask_conv2d\w*'.*=9",
        ),
        (
            masked_net,
            SimpleInit(9),
            {},
            r"`num_patches` .* 10 filters of layer 'supermask_conv2d\w*'.*=9",
        ),
        (
            masked_net,
            PatchesInit(500, 9, double_from=4),
            {},
            r"^`num_clusters` .* 10 filters of layer 'supermask_conv2d\w*'.*=9",
        ),
        (
            masked_net,
            PatchesInit(500, 4, double_from=1),
            {},
            r"^Twice `num_clusters` .* 10 filters of layer 'supermask_conv2d\w*'.*=4",
        ),
        (
            plain_net,
            PatchesInit(5001, 20, double_from=2),
            {},
            "at most 10000: .*num_patches=10002",
        ),
        (plain_net, PatchesInit(10001, 20), {}, "at most 10000: .*num_patches=10001"),
        (shrinking_net, PatchesInit(4000, 20), {}, "at most 3200: .*num_patches=4000"),
        (dead_net, PatchesInit(500, 20), {}, "4 that are finite and not flat.*=0"),
        (
            plain_net,
            PatchesInit(500, 20),
            {"preprocess": lambda x: x * np.float32("nan")},
            "5 that are finite and not flat.*=0",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"images": lambda x: np.zeros_like(x)},
            "5 that are finite and not flat.*usable=0",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"images": lambda x: x.astype(bool)},
            "NumPy array of numbers .*dtype=dtype..bool",
        ),
        (plain_net, PatchesInit(500, 20), {"images": list}, "NumPy array.*'list'"),
        (
            plain_net,
            PatchesInit(500, 20),
            {"images": lambda x: x[:, :-1]},
            r"\(200, 31, 32, 3\).*\(None, 32, 32, 3\)",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"images": lambda x: x[0]},
            r"images=\(32, 32, 3\)",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"images": lambda x: x[:0], "labels": lambda x: x[:0]},
            "at least one image",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"labels": lambda x: x[:-1]},
            r"each of the 200 images.*\(199,\)",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"labels": lambda x: x - 1},
            "at least 0 for each",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"labels": lambda x: x.astype(np.float32)},
            "class index.*float32",
        ),
        (
            plain_net,
            PatchesInit(500, 20),
            {"labels": lambda x: np.eye(10, dtype=np.int64)[x]},
            r"one-hot labels, `labels.argmax\(axis=1\)`.*\(200, 10\)",
        ),
        (
            lambda: build(keras.layers.Flatten(), keras.layers.Dense(4)),
            PatchesInit(500, 20),
            {},
            r"must have a convolution of two dimensions.*skipped=\{\}",
        ),
        (
            lambda: build(keras.layers.Conv2D(4, 1, name="point")),
            PatchesInit(500, 20),
            {},
            r"must have a convolution.*'point': '1x1 convolution'",
        ),
        (
            lambda: keras.Sequential([keras.layers.Conv2D(4, 3)]),
            PatchesInit(500, 20),
            {},
            "must be built",
        ),
    ],
)
def test_what_is_refused_leaves_the_model_unchanged(digits, net, init, change, message):
    def same(x):
        return x

    images, labels = digits
    model = net()
    before = [weight.numpy() for weight in model.weights]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=message):
            init.apply(
                model,
                change.get("images", same)(images),
                change.get("labels", same)(labels),
                change.get("preprocess", preprocess),
            )
    assert len(model.weights) == len(before)
    for weight, expected in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)


def test_an_interruption_gives_kernels_and_masks_back(digits):
    calls = []

    def interrupted(images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return preprocess(images)

    model = masked_net()
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(KeyboardInterrupt):
        PatchesInit(500, 20).apply(model, *digits, interrupted)
    assert len(calls) == 2
    for weight, expected in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)
    assert {layer.sparsity for layer in supermask_layers(model)} == {0.6, 0.5}


def test_labels_of_any_integer_kind_give_the_same_kernels(digits):
    images, labels = digits
    reference = plain_net()
    PatchesInit(300, 20).apply(reference, images, labels, preprocess)
    others = labels.tolist(), labels.astype(np.uint8), labels.astype(np.uint64)
    for other in (*others, labels[:, None]):
        model = plain_net()
        PatchesInit(300, 20).apply(model, images, other, preprocess)
        assert_same_kernels(model, reference)
