import gc
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

gc.set_threshold(100_000, 50, 100)  # thousands of models: passes over them take long

# Folders and files whose tests take long, by measured time: see WORKSPACE.md.
SLOW = (
    "benchmarks/",
    "binaries/",
    "conversion/",
    "docs/test_code.py",
    "experiments/test_runner.py",
    "export/",
    "init/test_activations.py",
    "init/test_algorithm_1.py",
    "init/test_anywhere.py",
    "init/test_deep.py",
    "init/test_diagnostics.py",
    "init/test_family.py",
    "init/test_patches_init.py",
    "init/test_progress.py",
    "init/test_rescaling.py",
    "layers/test_forward.py",
    "layers/test_methods.py",
    "layers/test_redraws.py",
    "layers/test_state.py",
    "layers/test_supermask.py",
    "models/test_all.py",
    "models/test_blocks.py",
    "models/test_resnet.py",
    "report/test_browser.py",
    "report/test_collect.py",
    "report/test_write.py",
    "runs/test_lock.py",
    "sparsity/test_allocation.py",
    "sparsity/test_callbacks.py",
    "test_docstrings.py",
    "test_typing.py",
    "test_with_keras.py",
    "tickets/test_classes.py",
    "tickets/test_container.py",
    "tickets/test_ticket.py",
    "train/",
    "trials/",
)


def pytest_configure(config):
    """Splits the CPU for two replicas, before TensorFlow's first operation."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the workers run the tests
    import tensorflow as tf
    from tensorflow.python.eager import context

    # A new seed throws away every kernel, most tests set one, and no test needs it.
    context.pywrap_tfe.TFE_ContextClearCaches = lambda handle: None
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )


def pytest_collection_modifyitems(items):
    tests = Path(__file__).parent
    missing = [name for name in SLOW if not (tests / name).exists()]
    assert not missing, f"SLOW names what is not there: {missing}"
    for item in items:
        path = item.path.relative_to(tests).as_posix()
        if path.startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture
def two_replicas():
    """A strategy of two replicas that does not get in the way of another one's."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
