"""Experiments: the thesis's tables and figures, and our own, planned, run and drawn."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
