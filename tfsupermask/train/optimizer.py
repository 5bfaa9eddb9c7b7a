"""The optimizers of a run, with weight decay as in the edge-popup paper."""

from __future__ import annotations

import keras

from tfsupermask.runs import Config


class _WithL2:
    """Adds the gradient of an L2 penalty to each gradient."""

    l2 = 0.0

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable."""
        # The graph optimiser may merge and reorder a sum with the one over parts of the
        # batch. It leaves a difference alone, and this rounds equally.
        penalised = keras.ops.subtract(gradient, -self.l2 * variable)
        super().update_step(penalised, variable, learning_rate)


class SGDWithL2(_WithL2, keras.optimizers.SGD):
    """SGD with momentum, and with weight decay as an L2 penalty in the gradient.

    The penalty goes through the momentum. Keras' own `weight_decay` does not, and is
    about ten times weaker at momentum 0.9. The penalty is added after the gradients are
    summed over replicas, so that it does not depend on their number.

    Args:
        learning_rate: Float or Keras schedule.
        momentum: In [0, 1).
        l2: Factor of the penalty's gradient, at least 0: gradient + l2 · variable.

    Example:
        >>> variable = keras.Variable([2.0])
        >>> optimizer = SGDWithL2(learning_rate=0.1, momentum=0.9, l2=0.5)
        >>> optimizer.apply([tf.constant([0.0])], [variable])
        >>> variable.numpy()
        array([1.9], dtype=float32)

    Reference:
        - Thesis §5.2, weight decay.
    """

    def __init__(self, learning_rate, momentum, l2):
        super().__init__(learning_rate, momentum)
        self.l2 = l2


class AdamWithL2(_WithL2, keras.optimizers.Adam):
    """Adam with weight decay as an L2 penalty in the gradient.

    The penalty goes through both moments; Keras' own `weight_decay` does not.

    Args:
        learning_rate: Float or Keras schedule.
        l2: Factor of the penalty's gradient, at least 0.

    Example:
        >>> optimizer = AdamWithL2(3e-4, l2=0.0)
        >>> optimizer.build(model.trainable_variables)

    Reference:
        - Kingma and Ba, 2015, "Adam: a method for stochastic optimization".
    """

    def __init__(self, learning_rate, l2):
        super().__init__(learning_rate)
        self.l2 = l2


def make_optimizer(config: Config, num_steps: int) -> keras.optimizers.Optimizer:
    """Returns a resolved config's optimizer; its rate warms up and follows a cosine."""
    warmup = num_steps * (config.warmup_epochs or 0) // config.epochs
    rising = {"warmup_target": config.learning_rate, "warmup_steps": warmup}
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        num_steps - warmup,
        **(rising if warmup else {}),
    )
    if config.optimizer == "adam":
        return AdamWithL2(rate, config.weight_decay)
    return SGDWithL2(rate, config.momentum, config.weight_decay)
