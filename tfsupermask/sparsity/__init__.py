"""The number of weights that each mask keeps, its changes, and measures of masks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
