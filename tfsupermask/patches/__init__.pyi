from .clustering import Clusters as Clusters, cluster as cluster
from .linear import linear_ranking as linear_ranking
from .patterns import (
    MIN_CLUSTER_SIZE as MIN_CLUSTER_SIZE,
    SELECTIONS as SELECTIONS,
    cluster_entropy as cluster_entropy,
    nearest_patches as nearest_patches,
    scale_patterns as scale_patterns,
    select_clusters as select_clusters,
)
from .proposals import (
    propose_filtered_boxes as propose_filtered_boxes,
    rgb_of as rgb_of,
)
from .reduction import survey as survey
from .sampling import (
    SAMPLES_PER_IMAGE as SAMPLES_PER_IMAGE,
    box_positions as box_positions,
    class_balanced_order as class_balanced_order,
    sample_patches as sample_patches,
)
from .spaces import SPACES as SPACES, coordinates as coordinates, to_space as to_space
from .stream import Patches as Patches, PatchSource as PatchSource, Window as Window
