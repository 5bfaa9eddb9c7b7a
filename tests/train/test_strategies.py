import pytest
import tensorflow as tf

from tfsupermask._validation import InputError
from tfsupermask.train.strategies import is_chief, make_strategy


def test_single_is_one_replica():
    strategy = make_strategy("single")
    assert strategy.num_replicas_in_sync == 1
    assert is_chief(strategy)


def test_mirrored_splits_a_cpu_where_there_is_no_gpu():
    strategy = make_strategy("mirrored")
    expected = len(tf.config.list_physical_devices("GPU")) or 2
    assert strategy.num_replicas_in_sync == expected
    assert is_chief(strategy)


def test_multi_worker_needs_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG=None"):
        make_strategy("multi_worker")


def test_auto_without_tf_config_and_gpus_is_single(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if len(tf.config.list_physical_devices("GPU")) < 2:
        assert make_strategy("auto").num_replicas_in_sync == 1
