import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.data import TrainBatches
from tfsupermask.init import initialize
from tfsupermask.layers import supermask_layers
from tfsupermask.train import Loop, SGDWithL2, Totals
from tfsupermask.train.strategies import make_strategy


def make_loop(dataset, strategy=None, batch_size=32, learning_rate=0.1):
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        model = models.build("conv2", dataset.image_shape, dataset.num_classes)
        initialize(model, "kaiming_normal", seed=0)
        optimizer = SGDWithL2(learning_rate, 0.9, 1e-4)
        optimizer.build(model.trainable_variables)
    return Loop(model, optimizer, strategy, dataset, batch_size)


def make_batches(dataset, batch_size=32):
    return TrainBatches(dataset.train, batch_size, 0, 1, False)


def train(loop, batches, epochs=1):
    return [sum(loop.train_epoch(batches, e), Totals()) for e in range(epochs)]


def state(loop):
    return [v.numpy() for v in (*loop.model.variables, *loop.optimizer.variables)]


def test_normalise_is_the_datasets(small):
    images = small.train.images[:4]
    expected = (images / 255.0 - small.mean) / small.std
    np.testing.assert_allclose(
        make_loop(small).normalise(images), expected, rtol=1e-5, atol=1e-5
    )


def test_an_epoch_equals_plain_keras_steps(small):
    loop, batches = make_loop(small), make_batches(small)
    total = train(loop, batches)[0]

    other = make_loop(small)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses, hits = [], 0
    for step in range(batches.steps_per_epoch):
        images, labels = (part[0] for part in batches.chunk(0, step, 1))
        with tf.GradientTape() as tape:
            logits = other.model(other.normalise(images), training=True)
            loss = loss_function(labels, logits)
        variables = other.model.trainable_variables
        other.optimizer.apply(
            tape.gradient(loss, [v.value for v in variables]), variables
        )
        losses.append(float(loss))
        hits += int((np.argmax(logits, axis=1) == labels).sum())
    assert total.images == batches.steps_per_epoch * 32
    np.testing.assert_allclose(total.means("")["loss"], np.mean(losses), rtol=1e-4)
    assert abs(total.top1 - hits) <= 1
    for mine, theirs in zip(state(loop), state(other), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_only_scores_are_trained(small):
    loop = make_loop(small)
    before = [layer.kernel.numpy() for layer in supermask_layers(loop.model)]
    scores = [layer.score.numpy() for layer in supermask_layers(loop.model)]
    train(loop, make_batches(small))
    for layer, kernel, score in zip(
        supermask_layers(loop.model), before, scores, strict=True
    ):
        np.testing.assert_array_equal(layer.kernel.numpy(), kernel)
        assert (layer.score.numpy() != score).mean() > 0.9


def test_evaluation_counts_every_image_once(small):
    assert len(small.test) % 32 != 0
    loop = make_loop(small)
    logits = loop.model(loop.normalise(small.test.images)).numpy().astype("float64")
    labels = small.test.labels
    order = np.argsort(-logits, axis=1, kind="stable")
    log_sum = np.log(np.exp(logits).sum(axis=1))
    total = loop.evaluate(small.test)
    assert total.images == len(labels)
    assert total.top1 == (order[:, 0] == labels).sum()
    assert total.top5 == (order[:, :5] == labels[:, None]).any(axis=1).sum()
    np.testing.assert_allclose(
        total.loss, (log_sum - logits[np.arange(len(labels)), labels]).sum(), rtol=1e-5
    )


def test_one_and_two_replicas_compute_the_same_bits(small):
    single, mirrored = make_loop(small), make_loop(small, make_strategy("mirrored"))
    assert mirrored.strategy.num_replicas_in_sync == 2
    batches = make_batches(small)
    assert train(single, batches, epochs=3) == train(mirrored, batches, epochs=3)
    assert single.evaluate(small.test) == mirrored.evaluate(small.test)
    for one, two in zip(state(single), state(mirrored), strict=True):
        np.testing.assert_array_equal(one, two)


def test_twice_the_same(small):
    first, second = make_loop(small), make_loop(small)
    batches = make_batches(small)
    assert train(first, batches, 2) == train(second, batches, 2)


def test_infinite_loss_is_an_error_that_names_the_step(small):
    loop = make_loop(small)
    kernel = loop.model.get_layer("dense3").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    with pytest.raises(InputError, match=r"step 1 of epoch 1.*loss=nan"):
        train(loop, make_batches(small))


def test_infinite_scores_are_an_error_though_masks_hide_them(small):
    loop = make_loop(small, learning_rate=float("inf"))
    with pytest.raises(InputError, match=r"conv1/score.*learning_rate=inf"):
        train(loop, make_batches(small))


def test_batch_must_divide_among_replicas(small):
    with pytest.raises(InputError, match="batch_size=33, replicas=2"):
        make_loop(small, make_strategy("mirrored"), batch_size=33)


def test_an_odd_batch_works_on_one_replica(small):
    loop = make_loop(small, batch_size=33)
    assert train(loop, make_batches(small, 33))[0].images == 33 * (320 // 33)


def test_the_learned_mask_beats_chance_on_real_images(small):
    loop = make_loop(small)
    train(loop, make_batches(small), epochs=8)
    assert loop.evaluate(small.test).means("")["top1"] > 0.5
