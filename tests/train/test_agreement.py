import pytest
import tensorflow as tf

from tfsupermask._validation import InputError
from tfsupermask.train import agreement
from tfsupermask.train.agreement import agree, agree_to_stop, num_workers


@pytest.fixture
def workers(monkeypatch):
    """Makes the calls hear what three workers say."""

    def say(*values):
        monkeypatch.setattr(agreement, "num_workers", lambda strategy: len(values))
        monkeypatch.setattr(agreement, "_gathered", lambda strategy, mine: values)
        return tf.distribute.get_strategy()

    return say


def test_one_process_agrees_with_itself():
    strategy = tf.distribute.get_strategy()
    assert num_workers(strategy) == 1
    agree(strategy, {"prune": 0.5})
    assert agree_to_stop(strategy, 0) == 0
    assert agree_to_stop(strategy, 15) == 15


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 3}], "0=2, replica_2=3"),
        ([{"a": 1}, {"a": 1, "b": 2}], "0=None, replica_1=2"),
    ],
)
def test_what_differs_or_one_lacks_is_named_with_both_values(workers, said, message):
    with pytest.raises(InputError, match=rf"`b` differs.*replica_{message}"):
        agree(workers(*said), {})


def test_all_stop_when_one_is_asked_to(workers):
    assert agree_to_stop(workers(0, 15, 0), 0) == 15
    assert agree_to_stop(workers(0, 0, 0), 0) == 0


def test_what_replicas_say_is_gathered_in_their_order(two_replicas):
    said = agreement._gathered(two_replicas, {"name": "größer", "list": [1, None]})
    assert said == [{"name": "größer", "list": [1, None]}] * 2
    with pytest.raises(ValueError, match="more than"):
        agreement._gathered(two_replicas, "x" * 20_000)
