"""Functions on tensors and shapes, without state."""

from tfsupermask._on_use import lazily

__getattr__, __dir__, __all__ = lazily(__name__, __file__, without=("fans", "seeds"))
