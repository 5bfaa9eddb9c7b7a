"""The thesis's networks and similar ones, made of supermask layers."""

from tfsupermask.models import alexnet, conv, resnet, vgg
from tfsupermask.models.blocks import convolution_blocks
from tfsupermask.models.registry import build, names, register

__all__ = [
    "alexnet",
    "build",
    "conv",
    "convolution_blocks",
    "names",
    "register",
    "resnet",
    "vgg",
]
