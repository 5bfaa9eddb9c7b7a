"""The version of this package, which is also that of its distribution."""

__version__ = "0.1.0"
