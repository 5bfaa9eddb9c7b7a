"""Patches, clusters and patterns: the NumPy half of PatchesInit."""

from tfsupermask.patches.clustering import Clusters, cluster
from tfsupermask.patches.patterns import (
    SCALES,
    nearest_patches,
    not_flat,
    scale_patterns,
)
from tfsupermask.patches.proposals import (
    propose_boxes,
    propose_filtered_boxes,
    rgb_of,
)
from tfsupermask.patches.reduction import (
    Survey,
    principal_components,
    project,
    survey,
)
from tfsupermask.patches.sampling import (
    SAMPLES_PER_IMAGE,
    box_positions,
    class_balanced_order,
    grid_positions,
    sample_patches,
)
from tfsupermask.patches.selection import (
    MIN_CLUSTER_SIZE,
    SELECTIONS,
    cluster_entropy,
    cluster_sizes,
    select_clusters,
)
from tfsupermask.patches.spaces import SPACES, coordinates, to_space
from tfsupermask.patches.stream import Patches
from tfsupermask.patches.window import Window

__all__ = [
    "MIN_CLUSTER_SIZE",
    "SAMPLES_PER_IMAGE",
    "SCALES",
    "SELECTIONS",
    "SPACES",
    "Clusters",
    "Patches",
    "Survey",
    "Window",
    "box_positions",
    "class_balanced_order",
    "cluster",
    "cluster_entropy",
    "cluster_sizes",
    "coordinates",
    "grid_positions",
    "nearest_patches",
    "not_flat",
    "principal_components",
    "project",
    "propose_boxes",
    "propose_filtered_boxes",
    "rgb_of",
    "sample_patches",
    "scale_patterns",
    "select_clusters",
    "survey",
    "to_space",
]
