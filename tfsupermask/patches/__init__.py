"""Patches, clusters and patterns: the NumPy half of PatchesInit."""

from tfsupermask._balance import class_balanced_order
from tfsupermask.patches.clustering import Clusters, cluster
from tfsupermask.patches.patterns import (
    MIN_CLUSTER_SIZE,
    SELECTIONS,
    cluster_entropy,
    nearest_patches,
    scale_patterns,
    select_clusters,
)
from tfsupermask.patches.proposals import propose_filtered_boxes, rgb_of
from tfsupermask.patches.reduction import survey
from tfsupermask.patches.sampling import (
    SAMPLES_PER_IMAGE,
    box_positions,
    sample_patches,
)
from tfsupermask.patches.spaces import SPACES, coordinates, to_space
from tfsupermask.patches.stream import Patches, PatchSource, Window

__all__ = [
    "MIN_CLUSTER_SIZE",
    "SAMPLES_PER_IMAGE",
    "SELECTIONS",
    "SPACES",
    "Clusters",
    "PatchSource",
    "Patches",
    "Window",
    "box_positions",
    "class_balanced_order",
    "cluster",
    "cluster_entropy",
    "coordinates",
    "nearest_patches",
    "propose_filtered_boxes",
    "rgb_of",
    "sample_patches",
    "scale_patterns",
    "select_clusters",
    "survey",
    "to_space",
]
