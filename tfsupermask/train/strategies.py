"""The devices of a run."""

from __future__ import annotations

import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.train import tf_config


def takes_workers(name: str) -> bool:
    """Returns whether the strategy of that name is of the workers in TF_CONFIG."""
    return name == "multi_worker" or (name == "auto" and tf_config.is_set())


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns the distribution strategy with a name.

    Call it before any other use of TensorFlow, because it sets up the devices.

    Args:
        name: `"single"`: one device. `"mirrored"`: all GPUs of the machine, or two
            logical halves of the CPU if there are none. `"multi_worker"`: the processes
            in the environment variable TF_CONFIG. `"auto"`: multi_worker if TF_CONFIG
            is set, mirrored if there are several GPUs, otherwise single.

    Raises:
        InputError: `"multi_worker"` without a TF_CONFIG, or with one that is wrong, or
            `"mirrored"` without a GPU after TensorFlow has been used.

    Example:
        >>> make_strategy("single").num_replicas_in_sync
        1
    """
    gpus = tf.config.list_physical_devices("GPU")
    if takes_workers(name):
        tf_config.read()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "single"
    if name == "mirrored":
        return _mirror_two_cpus() if not gpus else tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _mirror_two_cpus() -> tf.distribute.MirroredStrategy:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    except RuntimeError as error:  # TensorFlow has been used already
        if len(tf.config.list_logical_devices("CPU")) < 2:
            raise fail(
                "`strategy` 'mirrored' must be set up before TensorFlow is used."
            ) from error
    # TensorFlow may confuse the collective operations of two strategies in a process.
    # A plain sum avoids them.
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
