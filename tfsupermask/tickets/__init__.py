"""Tickets: a supermask model in one small file that is safe to load."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
