"""Keras layers with frozen weights and learned masks."""

from tfsupermask._on_use import lazily

__getattr__, __dir__, __all__ = lazily(__name__, __file__, without=("methods",))
