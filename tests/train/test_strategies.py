import pytest
import tensorflow as tf

from tfsupermask._validation import InputError
from tfsupermask.train.strategies import make_strategy


def test_single_is_one_replica_and_auto_too_without_tf_config_and_gpus(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    few_gpus = len(tf.config.list_physical_devices("GPU")) < 2
    for name in ("single", "auto") if few_gpus else ("single",):
        strategy = make_strategy(name)
        assert strategy.num_replicas_in_sync == 1


def test_mirrored_splits_a_cpu_where_there_is_no_gpu():
    strategy = make_strategy("mirrored")
    expected = len(tf.config.list_physical_devices("GPU")) or 2
    assert strategy.num_replicas_in_sync == expected


def test_multi_worker_needs_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG=None"):
        make_strategy("multi_worker")


@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_wrong_tf_config_is_not_taken_for_none(name, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="TF_CONFIG must hold"):
        make_strategy(name)
    assert make_strategy("single").num_replicas_in_sync == 1
