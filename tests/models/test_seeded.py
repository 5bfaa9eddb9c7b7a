import keras
import numpy as np
import tensorflow as tf

from tfsupermask.models.seeded import SeededLayers


def build_tiny():
    layers = SeededLayers(sparsity=0.5, method="edge_popup", seed=2)
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.conv_bn(inputs, 8, 3, "stem_conv")
    x = layers.conv_bn(x, 8, 1, "shortcut", strides=2, relu=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.logits(4, "dense")(x))


def step(strategy, images, labels):
    """Returns gradients and moving statistics of one step, on every replica."""
    with strategy.scope():
        model = build_tiny()
    share = len(images) // strategy.num_replicas_in_sync

    def rows(context):
        first = context.replica_id_in_sync_group * share
        return images[first : first + share], labels[first : first + share]

    @tf.function
    def differentiate(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

    @tf.function
    def run(x, y):
        return strategy.run(differentiate, (x, y))

    results = run(*strategy.experimental_distribute_values_from_function(rows))
    moving = [v.value for v in model.variables if v.name.startswith("moving")]
    return [
        [replica.numpy() for replica in strategy.experimental_local_results(value)]
        for value in [*results, *moving]
    ]


def test_two_replicas_normalise_by_the_statistics_of_the_whole_batch(two_replicas):
    generator = np.random.default_rng(0)
    images = generator.normal(1, 2, size=(8, 6, 6, 3)).astype(np.float32)
    images[4:] *= 3  # a replica alone would see other statistics
    labels = generator.integers(0, 4, 8)
    one = step(tf.distribute.get_strategy(), images, labels)
    two = step(two_replicas, images, labels)
    assert len(one) == len(two) == 3 + 4
    for (alone,), (first, second) in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, alone, rtol=1e-5, atol=1e-5)
