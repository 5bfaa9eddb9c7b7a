"""TensorFlow, imported without the messages that would hide a program's own."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What it writes before it sets up its logging ignores the level.
with open(os.devnull, "w") as _nowhere:
    _kept = os.dup(2)
    os.dup2(_nowhere.fileno(), 2)
    try:
        import tensorflow
    finally:
        os.dup2(_kept, 2)
        os.close(_kept)

# Its advice, for example on retracing, is not for users of the programs.
tensorflow.get_logger().setLevel("ERROR")
