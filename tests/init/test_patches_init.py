"""PatchesInit's settings, what changes nothing, and what it refuses."""

import io
import os
import subprocess
import sys
import warnings

import h5py
import keras
import numpy as np
import pytest

from tests.init.common import (
    assert_same_kernels,
    build,
    changed_in,
    convolutions,
    kernels,
    masked_net,
    plain_net,
    preprocess,
    tinted_digits,
    two_masked_layers,
    unchanged,
    values_of,
)
from tfsupermask import patches as patches_package
from tfsupermask._validation import InputError
from tfsupermask.init import (
    PatchesInit,
    SimpleInit,
    Variant,
    activations,
    diagnose,
    progress,
)
from tfsupermask.layers import supermask_layers
from tfsupermask.patches import Clusters, cluster, reduction, sampling, stream

L = keras.layers


@pytest.fixture
def clustered(monkeypatch):
    """The P, components and C of each layer whose patches are clustered."""
    seen = []

    def watched(projections, num_clusters, seed):
        seen.append((*projections.shape, num_clusters))
        return cluster(projections, num_clusters, seed)

    monkeypatch.setattr(patches_package, "cluster", watched)
    return seen


@pytest.mark.parametrize(
    ("init", "patches", "components", "clusters"),
    [
        (PatchesInit(300, 20), [300] * 3, [27] * 3, [20] * 3),
        # Patches keep as many dimensions as they have at most.
        (PatchesInit(300, 20, num_components=1), [300] * 3, [1] * 3, [20] * 3),
        (PatchesInit(300, 20, num_components=64), [300] * 3, [27, 54, 64], [20] * 3),
        (PatchesInit(300, 20, num_components=100), [300] * 3, [27, 54, 72], [20] * 3),
        (SimpleInit(300, num_components=64), [300] * 3, [27, 54, 64], [6, 8, 10]),
        # Twice as many patches and clusters from a layer on.
        (PatchesInit(300, 20, double_from=1), [600] * 3, [27] * 3, [40] * 3),
        (PatchesInit(300, 20, double_from=2), [300, 600, 600], [27] * 3, [20, 40, 40]),
        (PatchesInit(300, 20, double_from=3), [300, 300, 600], [27] * 3, [20, 20, 40]),
        (PatchesInit(300, 20, double_from=4), [300] * 3, [27] * 3, [20] * 3),
        # Layers left out count too.
        (
            PatchesInit(300, 20, only=["second"], double_from=2),
            [600],
            [27],
            [40],
        ),
        # Half of the clusters that are needed are enough where they are doubled.
        (PatchesInit(300, 9, double_from=3), [300, 300, 600], [27] * 3, [9, 9, 18]),
    ],
)
def test_what_is_clustered_in_each_layer(
    clustered, digits, init, patches, components, clusters
):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = init.apply(masked_net("second"), *digits, preprocess)
    assert clustered == list(zip(patches, components, clusters, strict=True))
    assert [done.num_patches for done in report.layers] == patches


@pytest.mark.parametrize("double_from", [None, 2])
def test_the_bar_ends_where_the_work_does(monkeypatch, digits, tmp_path, double_from):
    bars = []

    class Bar(progress.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, "disable": False, "file": io.StringIO()})
            bars.append(self)

    monkeypatch.setattr(progress, "tqdm", Bar)
    done = PatchesInit(300, 20, double_from=double_from)
    layers = [300, 600, 600] if double_from else [300, 300, 300]
    done.apply(masked_net(), *digits, preprocess, tmp_path)
    (tmp_path / "layer_003.npz").unlink()
    done.apply(masked_net(), *digits, preprocess, tmp_path)
    assert [bar.n for bar in bars] == [3 * sum(layers), 3 * layers[-1]]
    assert [bar.total for bar in bars] == [bar.n for bar in bars]


@pytest.fixture(scope="module", params=[masked_net, plain_net])
def reference(request, digits):
    """A network, and what PatchesInit makes of it."""
    model = request.param()
    PatchesInit(1000, 20).apply(model, *digits, preprocess)
    return request.param, model


@pytest.mark.parametrize(
    ("images", "kept"), [(7, 2**30), (1000, 2**30), (64, 0), (64, 2**18)]
)
def test_chunks_and_what_is_kept_do_not_change_the_kernels(
    monkeypatch, digits, reference, images, kept
):
    net, expected = reference
    monkeypatch.setattr(sampling, "_IMAGES_PER_CHUNK", images)
    monkeypatch.setattr(stream, "_IMAGES_PER_BATCH", images)
    monkeypatch.setattr(activations, "_BYTES_KEPT", kept)
    model = net()
    PatchesInit(1000, 20).apply(model, *digits, preprocess)
    assert_same_kernels(model, expected)


def test_kernels_are_a_function_of_the_seed(digits, reference):
    net, expected = reference
    same, other = net(), net()
    keras.utils.set_random_seed(99)
    PatchesInit(1000, 20, seed=0).apply(same, *digits, preprocess)
    PatchesInit(1000, 20, seed=1).apply(other, *digits, preprocess)
    assert_same_kernels(same, expected)
    for a, b in zip(kernels(other), kernels(expected), strict=True):
        assert (a != b).any()


@pytest.mark.parametrize(
    ("labels_of", "casts"),
    [
        (np.ndarray.tolist, None),
        (lambda labels: labels.astype(np.uint8), None),
        (lambda labels: labels.astype(np.uint64), None),
        (lambda labels: labels[:, None], lambda x: x.astype(np.float32)),
    ],
)
def test_labels_of_any_integer_kind_do_and_images_are_cast(digits, labels_of, casts):
    images, labels = digits
    models = plain_net(), plain_net()
    PatchesInit(300, 20).apply(models[0], images, labels)
    PatchesInit(300, 20).apply(models[1], images, labels_of(labels), casts)
    assert_same_kernels(*models)


def two_convolutions(*between, shape=(32, 32, 3)):
    keras.utils.set_random_seed(0)
    return build(
        L.Conv2D(6, 3, activation="relu"), *between, L.Conv2D(7, 3), shape=shape
    )


def test_activations_are_those_of_inference_and_of_any_image_size(digits):
    plain, with_norm = two_convolutions(), two_convolutions(L.BatchNormalization())
    with_dropout = two_convolutions(L.Dropout(0.5))
    free = two_convolutions(shape=(None, None, 3))
    before = [weight.numpy() for weight in with_norm.non_trainable_weights]
    for model in (plain, with_dropout, with_norm, free):
        PatchesInit(500, 20).apply(model, *digits, preprocess)
    assert_same_kernels(plain, with_dropout)
    assert_same_kernels(plain, free)
    for weight, expected in zip(with_norm.non_trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)


KERNELS_OF_A_PROCESS = """
import hashlib, sys
import tensorflow as tf
threads = int(sys.argv[1])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
from tfsupermask import data, models
from tfsupermask.init import PatchesInit
split = data.load("digits").train[:100]
model = models.build("conv2", input_shape=(32, 32, 3), num_classes=10)
PatchesInit(1000, 70).apply(model, split.images, split.labels, lambda x: x / 255)
for name in ("conv1", "conv2"):
    print(hashlib.sha256(model.get_layer(name).kernel.numpy().tobytes()).hexdigest())
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
        step = np.diff(done.entropies[done.sizes >= 5])
        assert (step >= 0).all() if done.discriminative else (step <= 0).all()


def test_masked_forward_differs_from_dense_and_sets_the_same_kernels_alone(digits):
    found = []
    for forward in ("dense", "masked"):
        model = masked_net()
        before = values_of(model)
        sparsities = [layer.sparsity for layer in supermask_layers(model)]
        PatchesInit(500, 20, forward=forward).apply(model, *digits, preprocess)
        assert [layer.sparsity for layer in supermask_layers(model)] == sparsities
        set_kernels = {layer.kernel.path for layer in convolutions(model)}
        assert len(set_kernels) == 3
        assert changed_in(model, before) == set_kernels
        found.append(kernels(model))
    first, *later = zip(*found, strict=True)
    np.testing.assert_array_equal(*first)
    assert all((a != b).any() for a, b in later)


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


def six_filters(monkeypatch, clusters):
    """Initialises six filters from crafted clusters of 44 patches."""
    monkeypatch.setattr(patches_package, "cluster", lambda *_: clusters)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    model = build(L.Conv2D(6, 3, name="stem"), shape=(8, 8, 3))
    with pytest.warns(UserWarning, match="'stem' needs 6 clusters") as caught:
        report = PatchesInit(44, 10).apply(model, images, np.arange(4))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return report.layers[0], str(caught[0].message)


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
    done, message = six_filters(monkeypatch, clusters)
    assert (
        f"6 clusters of at least 5 patches: {kept} were found, {small} smaller "
        f"clusters and {single} single patches fill the rest" in message
    )
    assert done.clusters_kept == kept
    assert (done.sizes >= 5).tolist() == [True] * kept + [False] * small
    assert done.added_patches == single
    assert len(set(zip(done.image, done.row, done.column, strict=True))) == 6


def test_clusters_of_flat_patches_alone_are_passed_over(monkeypatch):
    all_but_20 = property(lambda survey: np.arange(len(survey.deviation)) >= 20)
    monkeypatch.setattr(reduction.Survey, "not_flat", all_but_20)
    done, message = six_filters(monkeypatch, clusters_of_sizes(20, 14, 10))
    assert "2 were found, 0 smaller clusters and 4 single" in message
    assert sorted(done.sizes) == [10, 14]


def test_enough_clusters_give_no_warning(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchesInit(1000, 12).apply(masked_net(), *digits, preprocess)
        PatchesInit(1500, 9, double_from=4).apply(plain_net(), *digits, preprocess)


@pytest.mark.parametrize(
    ("record", "arguments", "message"),
    [
        (PatchesInit, {"num_patches": 0}, "num_patches=0"),
        (PatchesInit, {"num_patches": 10.5}, "num_patches=10.5"),
        (PatchesInit, {"num_clusters": 0}, "num_clusters=0"),
        (
            PatchesInit,
            {"num_patches": 40, "num_clusters": 41},
            "num_clusters=41, num_patches=40",
        ),
        (PatchesInit, {"discriminative_from": 0}, "discriminative_from=0"),
        (
            PatchesInit,
            {"discriminative_from": 1, "variant": Variant(select="size")},
            "needs a variant.*select='size'",
        ),
        (
            PatchesInit,
            {"discriminative_from": 1, "variant": Variant(select="linear")},
            "needs a variant.*select='linear'",
        ),
        (PatchesInit, {"num_components": 0}, "num_components=0"),
        (PatchesInit, {"num_components": None}, "num_components=None"),
        (PatchesInit, {"double_from": 0}, "double_from=0"),
        (PatchesInit, {"double_from": 1.5}, "double_from=1.5"),
        (PatchesInit, {"seed": -1}, "seed=-1"),
        (PatchesInit, {"forward": "sparse"}, "'dense', 'masked'.*forward='sparse'"),
        (PatchesInit, {"variant": "raw"}, "must be a `Variant`.*variant='raw'"),
        (SimpleInit, {"num_patches": 0}, "num_patches=0"),
        (Variant, {"cluster_space": "zca"}, "'raw', 'centred', 'whitened'.*'zca'"),
        (Variant, {"filter_space": None}, "filter_space=None"),
        (Variant, {"select": "best"}, "'entropy', 'linear', 'size', 'random'.*'best'"),
        (Variant, {"signs_only": "no"}, "False, True.*signs_only='no'"),
    ],
)
def test_refuses_arguments_out_of_range(record, arguments, message):
    with pytest.raises(InputError, match=message):
        record(**arguments)


def shrinking_net():
    keras.utils.set_random_seed(0)  # before layers choose their seeds
    return build(
        L.Conv2D(4, 3, strides=8, padding="same"), L.Conv2D(4, 3, padding="same")
    )


def dead_net():
    return build(L.Conv2D(4, 3, activation=lambda x: 0 * x), L.Conv2D(4, 3))


TEN_FILTERS = r" .* 10 filters of layer 'supermask_conv2d\w*'.*"


@pytest.mark.parametrize(
    ("net", "init", "message"),
    [
        (masked_net, PatchesInit(500, 9), f"^`num_clusters`{TEN_FILTERS}=9"),
        (masked_net, SimpleInit(9), f"^`num_patches`{TEN_FILTERS}=9"),
        (
            masked_net,
            PatchesInit(500, 9, double_from=4),
            f"^`num_clusters`{TEN_FILTERS}=9",
        ),
        (
            masked_net,
            PatchesInit(500, 4, double_from=1),
            f"^Twice `num_clusters`{TEN_FILTERS}=4",
        ),
        (
            plain_net,
            PatchesInit(5001, 20, double_from=2),
            "at most 10000: .*num_patches=10002",
        ),
        (plain_net, PatchesInit(10001, 20), "at most 10000: .*num_patches=10001"),
        (shrinking_net, PatchesInit(4000, 20), "at most 3200: .*num_patches=4000"),
        (dead_net, PatchesInit(500, 20), "4 that are finite and not flat.*=0"),
        (
            lambda: build(L.Flatten(), L.Dense(4)),
            PatchesInit(500, 20),
            r"must have a convolution of two dimensions.*skipped=\{\}",
        ),
        (
            lambda: build(L.Conv2D(4, 1, name="point")),
            PatchesInit(500, 20),
            r"must have a convolution.*'point': '1x1 convolution'",
        ),
        (
            lambda: keras.Sequential([L.Conv2D(4, 3)]),
            PatchesInit(500, 20),
            "must be built",
        ),
    ],
)
def test_models_that_are_refused_are_unchanged(digits, net, init, message):
    refuse(net(), init, message, *digits, preprocess)


def refuse(model, init, message, *arguments):
    with warnings.catch_warnings(), unchanged(model):
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=message):
            init.apply(model, *arguments)


def in_hdf5(images):
    file = h5py.File("images", "w", driver="core", backing_store=False)
    return file.create_dataset("images", data=images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"preprocess": lambda x: x * np.float32("nan")},
            "5 that are finite and not flat.*=0",
        ),
        ({"images": np.zeros_like}, "5 that are finite and not flat.*usable=0"),
        (
            {"images": lambda x: x.astype(bool)},
            "NumPy array of numbers .*dtype=dtype..bool",
        ),
        ({"images": list}, "NumPy array.*'list'"),
        ({"images": in_hdf5}, "in any order.*into memory.*'Dataset'"),
        ({"images": lambda x: x[:, :-1]}, r"\(200, 31, 32, 3\).*\(None, 32, 32, 3\)"),
        ({"images": lambda x: x[0]}, r"images=\(32, 32, 3\)"),
        (
            {"images": lambda x: x[:0], "labels": lambda x: x[:0]},
            "at least one image",
        ),
        ({"labels": lambda x: x[:-1]}, r"each of the 200 images.*\(199,\)"),
        ({"labels": lambda x: x - 1}, "at least 0 for each"),
        ({"labels": lambda x: x.astype(np.float32)}, "class index.*float32"),
        (
            {"labels": lambda x: np.eye(10, dtype=np.int64)[x]},
            r"one-hot labels, `labels.argmax\(axis=1\)`.*\(200, 10\)",
        ),
    ],
)
def test_images_that_are_refused_leave_the_model_unchanged(digits, changes, message):
    arguments = {"images": digits[0], "labels": digits[1], "preprocess": preprocess}
    for name, change in changes.items():
        arguments[name] = change if name == "preprocess" else change(arguments[name])
    refuse(plain_net(), PatchesInit(500, 20), message, *arguments.values())


def test_a_preprocess_that_works_in_place_leaves_the_images_alone():
    images, labels = tinted_digits(60, step=2)
    images = np.float32(images)

    def in_place(batch):
        batch /= 255
        return batch

    models = two_masked_layers(), two_masked_layers()
    before, initialise = images.copy(), PatchesInit(300, 12)
    initialise.apply(models[0], images, labels, in_place)
    diagnose(models[0], images, in_place)
    np.testing.assert_array_equal(images, before)
    initialise.apply(models[1], images, labels, lambda batch: batch / 255)
    assert_same_kernels(*models)


def test_preprocess_may_change_the_shape():
    images, labels = tinted_digits(60, step=2)
    model = build(keras.layers.Conv2D(4, 3), shape=(20, 20, 1))
    wrong = "shape of the model's one input.*images=\\(60, 16, 16, 3\\).*20, 20, 1"
    with pytest.raises(InputError, match=wrong):
        PatchesInit(300, 12).apply(model, images, labels)

    def grey(batch):
        return np.pad(np.float32(batch[..., :1]), [(0, 0), (2, 2), (2, 2), (0, 0)])

    report = PatchesInit(300, 12).apply(model, images, labels, grey)
    assert report.layers[0].num_patches == 300


def test_only_takes_a_single_name():
    images, labels = tinted_digits(60, step=2)
    model = two_masked_layers()
    report = PatchesInit(300, 12, only="second").apply(model, images, labels)
    assert [layer.layer for layer in report.layers] == ["second"]
