import collections
import contextlib
import functools
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.data import TrainBatches
from tfsupermask.init import initialize
from tfsupermask.layers import (
    SupermaskDense,
    drawn,
    masked_weights,
    redraw_removed,
    stochastic_weights,
    supermask_layers,
)
from tfsupermask.train import Loop, SGDWithL2, Totals
from tfsupermask.train.strategies import make_strategy

CONV2 = functools.partial(models.build, "conv2")


def make_loop(
    dataset,
    strategy=None,
    batch_size=32,
    learning_rate=0.1,
    method="edge_popup",
    build=CONV2,
    **options,
):
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        model = build(dataset.image_shape, dataset.num_classes, method=method)
        initialize(model, "kaiming_normal", seed=0)
        optimizer = SGDWithL2(learning_rate, 0.9, 1e-4)
        optimizer.build(model.trainable_variables)
    return Loop(model, optimizer, strategy, dataset, batch_size, **options)


def make_batches(dataset, batch_size=32):
    return TrainBatches(dataset.train, batch_size, 0, 1, False)


def train(loop, batches, epochs=1):
    return [
        sum((some for _, some in loop.train_epoch(batches, e)), Totals())
        for e in range(epochs)
    ]


def state(loop):
    return [v.numpy() for v in (*loop.model.variables, *loop.optimizer.variables)]


def assert_same_bits(one, other):
    for mine, theirs in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_normalise_is_the_datasets(small):
    images = small.train.images[:4]
    expected = (images / 255.0 - small.mean) / small.std
    np.testing.assert_allclose(
        make_loop(small).normalise(images), expected, rtol=1e-5, atol=1e-5
    )


def plain_keras_steps(loop, batches, around=contextlib.nullcontext):
    """Trains an epoch by hand, each step inside `around(step)`; returns loss, hits."""
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = loop.model.trainable_variables
    losses, hits = [], 0
    for step in range(batches.steps_per_epoch):
        images, labels = (part[0] for part in batches.chunk(0, step, 1))
        with around(step), tf.GradientTape() as tape:
            logits = loop.model(loop.normalise(images), training=True)
            loss = loss_function(labels, logits)
        gradients = tape.gradient(loss, [v.value for v in variables])
        loop.optimizer.apply(gradients, variables)
        losses.append(float(loss))
        hits += int((np.argmax(logits, axis=1) == labels).sum())
    return np.mean(losses), hits


def test_an_epoch_equals_plain_keras_steps(small):
    loop, other, batches = make_loop(small), make_loop(small), make_batches(small)
    total = train(loop, batches)[0]
    loss, hits = plain_keras_steps(other, batches)
    assert total.images == batches.steps_per_epoch * 32
    np.testing.assert_allclose(total.means("")["loss"], loss, rtol=1e-4)
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


STOCHASTIC = {"method": "stochastic", "learning_rate": 100.0}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "signed"},
        STOCHASTIC,
        {"method": "biprop"},
        {"method": "magnitude_straight_through", "learning_rate": 0.01},
    ],
    ids=str,
)
def test_one_and_two_replicas_compute_the_same_bits(small, options):
    mirrored = make_loop(small, make_strategy("mirrored"), **options)
    single, batches = make_loop(small, **options), make_batches(small)
    assert mirrored.strategy.num_replicas_in_sync == 2
    assert train(single, batches, epochs=2) == train(mirrored, batches, epochs=2)
    assert single.evaluate(small.test) == mirrored.evaluate(small.test)
    assert_same_bits(single, mirrored)


def test_infinite_loss_is_an_error_that_names_the_step(small):
    loop = make_loop(small)
    kernel = loop.model.get_layer("dense3").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    with pytest.raises(InputError, match=r"step 1 of epoch 1.*loss=nan"):
        train(loop, make_batches(small))


@pytest.mark.parametrize(
    ("name", "score", "learning_rate", "message"),
    [
        ("dense3", 1.0, np.inf, r"conv1/.*score.*learning_rate=inf"),
        ("dense2", np.inf, 0.1, r"step 10 of epoch 1.*dense2/.*score"),
    ],
)
def test_infinite_scores_are_named_though_masks_hide_them(
    small, name, score, learning_rate, message
):
    loop = make_loop(small, learning_rate=learning_rate)
    variable = loop.model.get_layer(name).score
    variable.assign(np.full(variable.shape, score))
    with pytest.raises(InputError, match=message):
        train(loop, make_batches(small))


def test_batch_must_divide_among_replicas(small):
    with pytest.raises(InputError, match="batch_size=33, replicas=2"):
        make_loop(small, make_strategy("mirrored"), batch_size=33)


def test_an_odd_batch_works_on_one_replica(small):
    loop = make_loop(small, batch_size=33)
    assert train(loop, make_batches(small, 33))[0].images == 33 * (320 // 33)


@pytest.mark.parametrize("method", ["edge_popup", "signed"])
def test_the_learned_mask_beats_chance_on_real_images(small, method):
    loop = make_loop(small, method=method)
    train(loop, make_batches(small), epochs=8)
    assert loop.evaluate(small.test).means("")["top1"] > 0.5


class WatchedBatches:
    """Batches that note which chunk is asked for, and where."""

    def __init__(self, batches, error_at=None):
        self._batches, self._error_at = batches, error_at
        self.steps_per_epoch = batches.steps_per_epoch
        self.asked = collections.defaultdict(threading.Event)
        self.order, self.threads = [], set()

    def chunk(self, epoch, first_step, *arguments):
        self.order.append(first_step)
        self.threads.add(threading.current_thread())
        self.asked[first_step].set()
        if first_step == self._error_at:
            raise OSError("no more images")
        return self._batches.chunk(epoch, first_step, *arguments)


@pytest.fixture
def few_steps_a_call(monkeypatch):
    monkeypatch.setattr("tfsupermask.train.loop.STEPS_PER_CALL", 4)


def test_the_next_images_are_made_while_steps_run(small, few_steps_a_call):
    loop, batches = make_loop(small), WatchedBatches(make_batches(small))
    call, waited = loop.train_steps, []

    def call_late(*shares):
        following = batches.order[0] + 4 * (len(waited) + 1)
        if following < batches.steps_per_epoch:
            waited.append(batches.asked[following].wait(timeout=10))
        return call(*shares)

    loop.train_steps = call_late
    train(loop, batches)
    assert batches.order == [0, 4, 8]
    assert waited == [True, True]
    assert threading.main_thread() not in batches.threads


def test_steps_in_one_call_or_several_compute_the_same_bits(small, few_steps_a_call):
    few, batches = make_loop(small), make_batches(small)
    total = train(few, batches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfsupermask.train.loop.STEPS_PER_CALL", 20)
        many = make_loop(small)
        assert train(many, batches) == pytest.approx(total)
    assert_same_bits(few, many)


def test_an_error_of_the_images_is_the_callers(small, few_steps_a_call):
    batches = WatchedBatches(make_batches(small), error_at=4)
    epoch = make_loop(small).train_epoch(batches, 0)
    assert next(epoch)[1].images == 4 * 32
    with pytest.raises(OSError, match="no more images"):
        next(epoch)


def test_an_epoch_given_up_leaves_no_thread(small, few_steps_a_call):
    before = threading.active_count()
    epoch = make_loop(small).train_epoch(make_batches(small), 0)
    next(epoch)
    epoch.close()
    assert threading.active_count() == before


def test_an_epoch_reads_few_numbers_from_the_device(small, few_steps_a_call):
    loop, batches = make_loop(small), make_batches(small)
    train(loop, batches)
    values = []

    def read(tensor):
        values.append(original(tensor))
        return values[-1]

    base = type(tf.constant(0)).__mro__[1]
    original = base.numpy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "numpy", read)
        train(loop, batches)
    # Three calls: the losses of their steps, two counts, one flag a variable.
    assert [value.size for value in values] == [4, 1, 1, 5] * 2 + [2, 1, 1, 5]


# Two halves that share their masks: the first convolution's input needs no gradient.
OPS = {
    "SupermaskMaskAllButTopK": 5,
    "SupermaskStraightThrough": 2 * 5,
    "Conv2D": 2 * 2,
    "Conv2DBackpropFilter": 2 * 2,
    "Conv2DBackpropInput": 2 * 1,
    "MatMul": 2 * (3 + 3 + 3),
    "MaxPool": 2,
    "MaxPoolGrad": 2,
    "ResourceApplyKerasMomentum": 0,
    "IsFinite": 5,
    "TopKV2": 0,
    "Where": 0,
    "PyFunc": 0,
    "EagerPyFunc": 0,
}


def test_a_step_computes_nothing_twice(small):
    """Counts the ops that are left when TensorFlow has optimised the steps."""
    loop, batches = make_loop(small), make_batches(small)
    context.enable_run_metadata()
    try:
        train(loop, batches)
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    steps = max(graphs, key=lambda graph: len(graph.post_optimization_graph.node))
    counts = collections.Counter(n.op for n in steps.post_optimization_graph.node)
    assert {op: counts[op] for op in OPS} == OPS


@pytest.fixture(scope="module")
def compiled(small):
    """A loop that XLA compiles, and the totals of its first epoch."""
    loop = make_loop(small, jit_compile=True)
    return loop, train(loop, make_batches(small))


def assert_agree(small, plain, compiled, found, tolerance):
    expected = train(plain, make_batches(small))[0]
    assert found.loss == pytest.approx(expected.loss, rel=tolerance)
    for one, other in zip(plain.model.weights, compiled.model.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance / 5)
        assert other.dtype == ("int32" if other.name == "num_kept" else "float32")


def test_xla_agrees_up_to_rounding(small, compiled):
    loop, (found,) = compiled
    assert_agree(small, make_loop(small), loop, found, 1e-5)


def test_xla_agrees_up_to_rounding_in_mixed_precision(small):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        plain, loop = make_loop(small), make_loop(small, jit_compile=True)
    finally:
        keras.config.set_dtype_policy(policy)
    (found,) = train(loop, make_batches(small))
    assert_agree(small, plain, loop, found, 1e-2)


def test_xla_computes_the_same_bits_on_one_and_two_replicas(
    small, compiled, two_replicas
):
    mirrored = make_loop(small, two_replicas, jit_compile=True)
    assert train(mirrored, make_batches(small)) == compiled[1]


def test_xla_really_compiles_and_has_no_native_ops(small, compiled):
    images, labels = (part[0] for part in make_batches(small).chunk(0, 0, 1))
    gradients = compiled[0]._compute_gradients
    gradients(images, labels)  # whose trace follows
    traced = gradients.get_concrete_function(tf.constant(images), tf.constant(labels))
    assert traced.function_def.attr["_XlaMustCompile"].b
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    assert not [node.op for node in nodes if "Supermask" in node.op]
    ir = gradients.experimental_get_compiler_ir(images, labels)
    # Each mask is one loop, though both halves of the batch use it.
    assert ir("optimized_hlo").count(" while(") == 5


def normalised(shape, num_classes, method):
    layers = [keras.layers.BatchNormalization(), keras.layers.Flatten()]
    layers = [keras.Input(shape), *layers, SupermaskDense(num_classes, method=method)]
    return keras.Sequential(layers, name="normalised")


def with_added_losses(shape, num_classes, method):
    layers = [keras.layers.Flatten(), keras.layers.ActivityRegularization(l2=0.3)]
    dense = SupermaskDense(num_classes, method=method, activity_regularizer="l2")
    return keras.Sequential([keras.Input(shape), *layers, dense])


def test_losses_that_a_network_adds_are_trained_on_and_not_reported(small):
    loop, batches = make_loop(small, build=with_added_losses), make_batches(small)
    images, labels = (tf.constant(part[0]) for part in batches.chunk(0, 0, 1))
    model, variables = loop.model, [v.value for v in loop.model.trainable_variables]
    loss, *_, gradients = tf.function(loop._gradients)(images, labels)
    with tf.GradientTape() as tape:
        logits = model(loop.normalise(images), training=True)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        objective = tf.reduce_mean(entropy) + sum(model.losses)
    assert len(model.losses) == 2
    assert objective > 1.1 * loss
    np.testing.assert_allclose(loss, tf.reduce_mean(entropy), rtol=1e-5)
    for one, other in zip(gradients, tape.gradient(objective, variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def with_rows_and_unused(shape, num_classes, method):
    """An embedding, whose gradient is of rows, and a kernel that no loss reaches."""
    inputs = keras.Input(shape)
    indices = keras.ops.cast(inputs[:, 0, 0, :] > 0, "int32")
    rows = keras.layers.Embedding(4, num_classes)(indices)
    unused = keras.layers.Dense(3)
    unused.build((None, 2))
    flat = keras.layers.Flatten()(inputs)
    logits = SupermaskDense(num_classes, method=method)(flat)
    model = keras.Model(inputs, logits + keras.ops.sum(rows, 1))
    model.unused = unused
    return model


@pytest.mark.parametrize("batch_size", [32, 15])
def test_gradients_of_rows_and_of_nothing(small, batch_size):
    """In two parts of a batch, or in one if it is odd."""
    options = {"build": with_rows_and_unused, "batch_size": batch_size}
    loop, other = make_loop(small, **options), make_loop(small, **options)
    other.model.set_weights(loop.model.get_weights())
    batches = make_batches(small, batch_size)
    assert loop.num_parts == (2 if batch_size == 32 else 1)
    assert len(loop.model.trainable_variables) == 4
    train(loop, batches)
    plain_keras_steps(other, batches)
    for mine, theirs in zip(state(loop), state(other), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def nested(shape, num_classes, method):
    model = normalised(shape, num_classes, method)
    return keras.Sequential([keras.Input(shape), model], name="normalised")


@pytest.mark.parametrize("build", [normalised, nested])
def test_batch_normalisation_needs_the_whole_batch(small, two_replicas, build):
    assert make_loop(small, build=build).num_parts == 1
    message = "batch normalisation on one replica.*'normalised', replicas=2"
    with pytest.raises(InputError, match=message):
        make_loop(small, two_replicas, build=build, jit_compile=True)


def test_each_step_has_a_draw_of_its_own(small, few_steps_a_call):
    """The same draws as by hand, shared by both halves of a batch."""
    loop, batches = make_loop(small, **STOCHASTIC), make_batches(small)
    train(loop, batches)
    other = make_loop(small, **STOCHASTIC)
    plain_keras_steps(other, batches, lambda step: drawn(other.model, step + 1))
    for mine, theirs in zip(state(loop), state(other), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-2, atol=1e-3)


def test_removed_weights_are_drawn_anew_after_every_so_many_steps(
    small, few_steps_a_call
):
    loop = make_loop(small, method="iterand", redraw_steps=3)
    batches = make_batches(small)
    start = [weight.kernel.numpy() for weight in masked_weights(loop.model)]
    train(loop, batches)
    other = make_loop(small, method="iterand")

    def redraw_before(step):
        if step % 3 == 0 < step:
            redraw_removed(other.model, step // 3)
        return contextlib.nullcontext()

    plain_keras_steps(other, batches, redraw_before)  # ten steps, three draws
    for weight, mine, kernel in zip(
        masked_weights(loop.model), masked_weights(other.model), start, strict=True
    ):
        # Rounding may decide otherwise on a weight at the mask's edge.
        assert np.mean(weight.kernel.numpy() != mine.kernel.numpy()) < 1e-3
        assert np.mean(weight.kernel.numpy() != kernel) > 0.1


def test_masks_are_without_chance_outside_of_steps(small):
    loop = make_loop(small, **STOCHASTIC)
    for _ in loop.train_epoch(make_batches(small), 0):
        assert {int(weight.draw) for weight in stochastic_weights(loop.model)} == {0}
    assert loop.evaluate(small.test) == loop.evaluate(small.test)
    logits = loop.model(loop.normalise(small.test.images)).numpy()
    hits = (logits.argmax(axis=1) == small.test.labels).sum()
    assert loop.evaluate(small.test).top1 == hits


def test_draws_depend_on_the_step_alone(small, few_steps_a_call):
    """So training goes on in the middle of an epoch as if it had never stopped."""
    whole, batches = make_loop(small, **STOCHASTIC), make_batches(small)
    train(whole, batches)
    begun, resumed = make_loop(small, **STOCHASTIC), make_loop(small, **STOCHASTIC)
    steps = begun.train_epoch(batches, 0)
    assert next(steps)[0] == 4
    steps.close()
    variables = [*resumed.model.variables, *resumed.optimizer.variables]
    for variable, value in zip(variables, state(begun), strict=True):
        variable.assign(value)
    list(resumed.train_epoch(batches, 0, first_step=4))
    assert_same_bits(whole, resumed)
