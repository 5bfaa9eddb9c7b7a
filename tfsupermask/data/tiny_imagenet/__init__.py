"""Tiny-ImageNet-200: read from its archive, or fetched once by TensorFlow Datasets."""

from tfsupermask.data.tiny_imagenet.loading import load

__all__ = ["load"]
