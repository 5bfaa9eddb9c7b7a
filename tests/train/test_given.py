"""Runs that train weights under the mask of another run or of a ticket."""

import csv
import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.train.common import (
    advance,
    assert_same_result,
    stop_within_the_first_epoch,
)
from tfsupermask import init, models, runs, train
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDense, masked_weights
from tfsupermask.tickets import load_ticket, save_ticket
from tfsupermask.train.build import build_model
from tfsupermask.train.given import load_given, take_mask

SHAPE, CLASSES = (8, 8, 3), 10
DRAWN = {"weights_from": "init", "init": "kaiming_normal"}


def config(workdir, **fields):
    return runs.Config(
        workdir=str(workdir),
        **{"init": "kaiming_normal", "batch_size": 32, "epochs": 2, **fields},
    )


def fixed(mask_from, workdir="unused", **fields):
    given = {"init": "patches", "method": "fixed", "mask_from": str(mask_from)}
    return config(workdir, **{**given, **fields})


def take(given, model):
    take_mask(given, model, load_given(given, model))


def taken(given):
    """The masked weights of a model that takes its mask, drawn before as runs do."""
    model = build_model(runs.resolve(given, 100), SHAPE, CLASSES)
    init.initialize(model, "kaiming_normal", given.seed)
    take(given, model)
    return masked_weights(model)


def network(method="edge_popup", name="conv2", shape=SHAPE, classes=CLASSES):
    model = models.build(name, shape, classes, 0.8, method, seed=4)
    init.initialize(model, "kaiming_normal", 3)
    return model


@pytest.fixture(scope="module")
def ticket(tmp_path_factory):
    """A ticket in which every fourth weight is exactly zero, kept or not."""
    model = network()
    for weight in masked_weights(model):
        kernel = weight.kernel.numpy()
        kernel.flat[::4] = 0
        weight.kernel.assign(kernel)
    return save_ticket(model, tmp_path_factory.mktemp("tickets") / "a.ticket")


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """The folder of a run of the dense network."""
    workdir = tmp_path_factory.mktemp("runs") / "dense"
    train.run(config(workdir, method="dense"))
    return workdir


def without_smallest(kernel, keeps, fraction):
    """Removes a fraction of what is kept: the smallest, the last ones of equals."""
    places = np.flatnonzero(keeps)
    count = max(1, len(places) - round(fraction * len(places)))
    order = np.argsort(-np.abs(kernel.ravel()[places]), kind="stable")
    mask = np.zeros(kernel.size)
    mask[places[order[:count]]] = 1
    return mask.reshape(kernel.shape)


@pytest.mark.parametrize("prune_rest", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("start", [{}, {**DRAWN, "seed": 3}], ids=str)
def test_the_mask_loses_the_smallest_weights_that_it_keeps(ticket, prune_rest, start):
    found = taken(fixed(ticket, prune_rest=prune_rest, **start))
    sources = masked_weights(load_ticket(ticket).model)
    drawn = masked_weights(network())
    for weight, given, other in zip(found, sources, drawn, strict=True):
        kernel, keeps = given.kernel.numpy(), given.mask.numpy()
        assert 0.2 < np.mean(kernel[keeps == 1] == 0) < 0.3
        mask = without_smallest(kernel, keeps, prune_rest)
        np.testing.assert_array_equal(weight.mask, mask)
        assert weight.num_kept == mask.sum()
        source = other.kernel.numpy() if start else kernel
        np.testing.assert_array_equal(weight.kernel, source * mask)


def test_close_weights_are_removed_in_their_order(tmp_path):
    """Also where they differ by less than float32 knows at 1."""
    model, rng = network("dense"), np.random.default_rng(0)
    for weight in masked_weights(model):
        values = 1e-6 * (1 + rng.permutation(weight.num_weights) / weight.num_weights)
        weight.kernel.assign(values.reshape(weight.kernel.shape))
    path = save_ticket(model, tmp_path / "a.ticket")
    pairs = zip(taken(fixed(path, prune_rest=0.3)), masked_weights(model), strict=True)
    for weight, given in pairs:
        kernel = given.kernel.numpy()
        mask = without_smallest(kernel, np.ones(kernel.shape), 0.3)
        np.testing.assert_array_equal(weight.mask, mask)


@pytest.mark.parametrize("method", ["stochastic", "biprop"])
def test_weights_are_those_that_the_source_computes_with(method, tmp_path):
    source = network(method)
    path = save_ticket(source, tmp_path / "a.ticket")
    for weight, given in zip(taken(fixed(path)), masked_weights(source), strict=True):
        np.testing.assert_array_equal(weight.mask, given.mask.numpy() != 0)
        np.testing.assert_array_equal(weight.kernel, given.effective())


def test_other_weights_are_taken_as_they_are(dense, ticket, tmp_path):
    """From a run, and from a ticket, which holds no removed ones."""
    other = save_ticket(network("signed"), tmp_path / "b.ticket")
    sources = {dense: train.load_run(dense), other: load_ticket(other)}
    masks = masked_weights(load_ticket(ticket).model)
    for path, source in sources.items():
        found = taken(fixed(ticket, weights_from=str(path)))
        given = masked_weights(source.model)
        for weight, mask, theirs in zip(found, masks, given, strict=True):
            np.testing.assert_array_equal(weight.mask, mask.mask)
            np.testing.assert_array_equal(weight.kernel, theirs.kernel * mask.mask)


def test_given_weights_are_rescaled_under_their_mask(small, ticket, tmp_path):
    start = fixed(ticket, tmp_path, rescale="unit_power", stop_after_epoch=0)
    advance(**vars(start))
    found, before = train.load_run(tmp_path).model, taken(fixed(ticket))
    images = (small.train.images.astype(np.float32) / 255 - small.mean) / small.std
    factors = init.unit_power(found, images, small.train.labels)
    np.testing.assert_allclose(list(factors.values()), 1, rtol=1e-3)
    for weight, given in zip(masked_weights(found), before, strict=True):
        np.testing.assert_array_equal(weight.mask, given.mask)
        ratio = np.abs(weight.kernel).sum() / np.abs(given.kernel).sum()
        assert abs(ratio - 1) > 0.1


def test_the_same_start_is_the_same_run_however_it_is_given(ticket, tmp_path):
    """As `init` draws it, and from the folder of a run that only drew it."""
    options = {"seed": 5, "stop_after_epoch": 0}
    start = config(tmp_path / "start", method="dense", **options)
    drawn = fixed(ticket, tmp_path / "drawn", **DRAWN, **options)
    options["weights_from"] = start.workdir
    for each in (start, drawn, fixed(ticket, tmp_path / "given", **options)):
        advance(**vars(each))
    assert_same_result(tmp_path / "drawn", tmp_path / "given")


@pytest.fixture(scope="module")
def finished(dense, tmp_path_factory):
    """A run under half of the dense one's weights, from its start; and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "fixed"
    given = fixed(dense, workdir, prune_rest=0.5, **DRAWN)
    return given, train.run(given)


def test_kept_weights_are_trained_and_all_that_is_left_agrees(finished, dense, small):
    given, summary = finished
    loaded = train.load_run(given.workdir)
    sources = masked_weights(train.load_run(dense).model)
    assert summary["sparsity"] == pytest.approx(0.5, abs=1e-4)
    for weight, source in zip(masked_weights(loaded.model), sources, strict=True):
        kernel = weight.kernel.numpy()
        mask = without_smallest(source.kernel.numpy(), np.ones(kernel.shape), 0.5)
        np.testing.assert_array_equal(weight.mask, mask)
        assert not np.any(kernel[mask == 0])
        assert np.count_nonzero(kernel) > 0.9 * weight.num_kept
    with open(Path(given.workdir) / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mask_flips"]) for row in rows] == [0, 0]
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    images = loaded.normalise(small.test.images)
    logits = loaded.model(images).numpy()
    hits = (logits.argmax(axis=1) == small.test.labels).mean()
    assert summary["test_top1"] == pytest.approx(hits)
    serve = tf.saved_model.load(f"{given.workdir}/saved_model")
    exported = serve.signatures["serving_default"](
        images=tf.constant(small.test.images)
    )
    np.testing.assert_allclose(exported["logits"], logits, rtol=1e-4, atol=1e-4)


def test_stopped_within_an_epoch_of_two_replicas_and_resumed_on_one(
    finished, tmp_path, monkeypatch
):
    """The mask's source need not be there any more."""
    given = dataclasses.replace(finished[0], workdir=str(tmp_path))
    fields = dataclasses.asdict(given)
    del fields["workdir"], fields["strategy"]
    stop_within_the_first_epoch(monkeypatch, tmp_path, **fields)
    source = Path(given.mask_from)
    source.rename(source.with_name("moved"))
    assert advance(**vars(given)) == 2
    source.with_name("moved").rename(source)
    assert_same_result(Path(finished[0].workdir), tmp_path)


OTHERS = {
    "conv4": lambda: network(name="conv4"),
    "larger": lambda: network(shape=(16, 16, 3)),
    "classes": lambda: network(classes=3),
}


@pytest.mark.parametrize("flag", ["mask_from", "weights_from"])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("conv4", r"same network, .*network='conv4', differing=\[\('conv[34]"),
        ("larger", r"same network, .*network='conv2', differing=\[\('dense1/kernel'"),
        ("classes", r"same network, .*differing=\[\('dense3/kernel', \(256, 3\)\)"),
        ("nothing", "must be a run folder or a ticket"),
        ("empty folder", r"must be the folder of a run"),
        ("text", r"ticket"),
    ],
)
def test_refuses_what_is_not_of_the_same_network(
    flag, other, message, ticket, tmp_path
):
    path = tmp_path / "source"
    if other in OTHERS:
        save_ticket(OTHERS[other](), path)
    elif other == "empty folder":
        path.mkdir()
    elif other == "text":
        path.write_text("no ticket, but a text")
    given = (
        fixed(path) if flag == "mask_from" else fixed(ticket, weights_from=str(path))
    )
    with pytest.raises(InputError, match=message) as caught:
        taken(given)
    if other in OTHERS or other == "nothing":
        assert f"{flag}='{path}'" in str(caught.value)


def with_averages(*more):
    layers = [keras.Input((4,)), SupermaskDense(3, name="dense"), *more]
    return keras.Sequential(layers, name="net")


def test_averages_come_with_the_weights_and_must_be_there(tmp_path):
    """Masks of the same names and shapes are not all that there is."""
    norms = [keras.layers.BatchNormalization(name="norm") for _ in range(2)]
    source, model = map(with_averages, norms)
    for variable in norms[0].weights:
        variable.assign(0.5 + 0 * variable)
    path = save_ticket(source, tmp_path / "a.ticket")
    for start, taken in [(DRAWN, False), ({}, True)]:
        take(fixed(path, **start), model)
        assert all(np.all(v.numpy() == 0.5) for v in norms[1].weights) == taken
    save_ticket(with_averages(), path)
    with pytest.raises(InputError, match=r"have 'net/norm/gamma'.*shape=None"):
        take(fixed(path), model)


def test_a_run_goes_on_when_its_mask_has_another_path(dense, tmp_path, monkeypatch):
    source = tmp_path / "before" / "source"
    shutil.copytree(dense, source)
    run = fixed(source, tmp_path / "run", stop_after_epoch=0)
    assert advance(**vars(run)) == 0
    monkeypatch.chdir(tmp_path)
    for path in ("before/source", "before/../before/source/"):
        assert advance(**{**vars(run), "mask_from": path}) == 0
    with pytest.raises(InputError, match="holds a run with mask_from="):
        advance(**{**vars(run), "mask_from": str(dense)})
    (tmp_path / "before").rename(tmp_path / "after")
    assert advance(**{**vars(run), "mask_from": "after/source"}) == 0
