import keras
import numpy as np
import pytest

from tfsupermask.runs import Config, resolve
from tfsupermask.train import AdamWithL2, SGDWithL2
from tfsupermask.train.optimizer import make_optimizer


def follow(optimizer, step, num_steps=4):
    """Compares an optimizer's steps with `step(number, gradient, weights)` by hand."""
    rng = np.random.default_rng(0)
    expected = rng.normal(size=5)
    variable = keras.Variable(expected.astype("float32"))
    optimizer.build([variable])
    for number in range(num_steps):
        gradient = rng.normal(size=5)
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        expected = step(number, gradient, expected)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("momentum", "l2"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.1)])
def test_penalty_goes_through_the_momentum(momentum, l2):
    velocity = np.zeros(5)

    def step(number, gradient, weights):
        velocity[:] = momentum * velocity - 0.1 * (gradient + l2 * weights)
        return weights + velocity

    follow(SGDWithL2(0.1, momentum, l2), step)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_penalty_goes_through_the_moments_of_adam(l2):
    first, second = np.zeros(5), np.zeros(5)

    def step(number, gradient, weights):
        gradient = gradient + l2 * weights
        first[:] = 0.9 * first + 0.1 * gradient
        second[:] = 0.999 * second + 0.001 * gradient**2
        mean = first / (1 - 0.9 ** (number + 1))
        deviation = np.sqrt(second / (1 - 0.999 ** (number + 1)))
        return weights - 0.1 * mean / (deviation + 1e-7)

    follow(AdamWithL2(0.1, l2), step)


@pytest.mark.parametrize(
    ("fields", "kind", "rate", "l2"),
    [
        ({}, SGDWithL2, 0.1, 1e-4),
        ({"method": "magnitude"}, SGDWithL2, 0.01, 1e-4),
        ({"optimizer": "adam"}, AdamWithL2, 2e-4, 0),
        ({"optimizer": "adam", "weight_decay": 0.1}, AdamWithL2, 2e-4, 0.1),
    ],
)
def test_a_run_has_the_optimizer_of_its_config(fields, kind, rate, l2):
    optimizer = make_optimizer(resolve(Config(**fields), 1000), 100)
    assert type(optimizer) is kind
    assert optimizer.l2 == l2
    assert getattr(optimizer, "momentum", 0.9) == 0.9
    rates = []
    for step in (0, 50, 100):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [rate, rate / 2, 0], atol=1e-8)


@pytest.mark.parametrize("warmup", [0, 2])
def test_the_rate_rises_and_then_follows_the_cosine(warmup):
    config = resolve(Config(epochs=10, warmup_epochs=warmup, learning_rate=0.5), 100)
    optimizer, rates = make_optimizer(config, num_steps=100), []
    for step in range(101):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    cosine = 0.25 * (1 + np.cos(np.pi * np.linspace(0, 1, 101 - 10 * warmup)))
    rising = np.linspace(0, 0.5, 10 * warmup, endpoint=False)
    np.testing.assert_allclose(rates, [*rising, *cosine], atol=1e-6)
