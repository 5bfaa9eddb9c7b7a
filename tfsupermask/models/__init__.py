"""The thesis's networks, made of supermask layers."""

from tfsupermask.models import conv
from tfsupermask.models.registry import build, names, register

__all__ = ["build", "conv", "names", "register"]
