"""The names of precisions."""

PRECISIONS = ("float32", "float16", "bfloat16")
