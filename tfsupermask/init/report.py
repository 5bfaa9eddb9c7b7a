"""What PatchesInit did, layer by layer."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfsupermask._text import aligned

_ARRAYS = {
    "sizes": np.int64,
    "entropies": np.float64,
    "image": np.int64,
    "row": np.int32,
    "column": np.int32,
}


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One layer's initialisation.

    Attributes:
        layer: Name of the layer, its path (`"outer/inner"`) where others have it too.
        discriminative: Whether clusters of low entropy were preferred.
        num_patches: P, patches sampled.
        num_clusters: Clusters that k-means left with at least one patch.
        clusters_kept: Those of at least 5 patches.
        sizes: int array, sizes of the selected clusters.
        entropies: float array, label entropy of the selected clusters, in bits.
        added_patches: Filters made of single patches because clusters ran out.
        image: int64 array (patterns,), index of the image each pattern comes from.
        row: int32 array (patterns,), the pattern's top row in the layer's input map.
        column: int32 array (patterns,), its left column.
        seconds: Wall-clock seconds of each stage, by name.

    Example:
        >>> report = PatchesInit(2000, num_clusters=100).apply(model, images, labels)
        >>> first = report.layers[0]
        >>> first.layer, first.num_patches, len(first.image)
        ('conv1', 2000, 64)
    """

    layer: str
    discriminative: bool
    num_patches: int
    num_clusters: int
    clusters_kept: int
    sizes: np.ndarray
    entropies: np.ndarray
    added_patches: int
    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    seconds: dict[str, float]

    def as_dict(self) -> dict:
        """Returns the report as plain numbers and strings, for JSON."""
        values = dataclasses.asdict(self)
        return values | {name: values[name].tolist() for name in _ARRAYS}

    @classmethod
    def from_dict(cls, values: dict) -> LayerReport:
        """Returns the report that `as_dict` described, or JSON made of it."""
        arrays = {name: np.array(values[name], _ARRAYS[name]) for name in _ARRAYS}
        return cls(**values | arrays)

    @property
    def mean_entropy(self) -> float:
        """Mean entropy of the selected clusters, in bits (thesis Table 5.4)."""
        return float(np.mean(self.entropies)) if len(self.entropies) else 0.0


@dataclasses.dataclass(frozen=True)
class PatchesInitReport:
    """What PatchesInit did to a whole model; `print` shows it as a table.

    Attributes:
        layers: A `LayerReport` for each layer that was set, in that order.
        skipped: The reasons why the others were left as they were, by their names.

    Example:
        >>> patches_init = PatchesInit(2000, num_clusters=100, only=["conv1"])
        >>> report = patches_init.apply(model, images, labels)
        >>> len(report.layers), report.skipped
        (1, {'conv2': 'not in `only`'})
    """

    layers: tuple[LayerReport, ...]
    skipped: dict[str, str]

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all stages of all layers."""
        return sum(sum(layer.seconds.values()) for layer in self.layers)

    def as_dict(self) -> dict:
        """Returns the report as plain numbers and strings, for JSON."""
        layers = [
            {**layer.as_dict(), "mean_entropy": layer.mean_entropy}
            for layer in self.layers
        ]
        return {"layers": layers, "skipped": self.skipped, "seconds": self.seconds}

    def __str__(self) -> str:
        width = max(8, *map(len, self.skipped), *(len(r.layer) for r in self.layers))
        heads = ("layer", "clusters", "kept", "filters", "entropy", "smallest")
        lines = [(*heads, "s")]
        for r in self.layers:
            counts = r.num_clusters, r.clusters_kept, len(r.image)
            entropy, smallest = f"{r.mean_entropy:.2f} bit", min(r.sizes, default=0)
            seconds = f"{sum(r.seconds.values()):.1f}"
            cells = (*counts, entropy, smallest, seconds)
            lines.append((r.layer, *map(str, cells)))
        skipped = [
            f"{name:{width}}  left as it was: {why}"
            for name, why in self.skipped.items()
        ]
        return "\n".join([aligned(lines, "<>>>>>>", widths=(width,)), *skipped])
