"""SimpleInit: the patterns of PatchesInit without a choice among them (§5.6.1)."""

from __future__ import annotations

from tfsupermask.init.patches_init import PatchesInit
from tfsupermask.patches.reduction import NUM_COMPONENTS


class SimpleInit(PatchesInit):
    """PatchesInit with as many clusters as filters and no selection.

    Args:
        num_patches: P, at least the number of filters. Defaults to 10,000.
        seed: Non-negative integer. Defaults to 0.
        forward: `"dense"` (default) or `"masked"`, see `PatchesInit`.
        verbose: Whether to show a progress bar. Defaults to `False`.
        num_components: Defaults to 27, see `PatchesInit`.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> report = SimpleInit(num_patches=2000).apply(model, images, labels)
        >>> [layer.layer for layer in report.layers]
        ['conv1', 'conv2']

    Reference:
        - Thesis §5.6.1.
    """

    def __init__(
        self,
        num_patches: int = 10_000,
        seed: int = 0,
        forward: str = "dense",
        verbose: bool = False,
        num_components: int = NUM_COMPONENTS,
    ):
        options = {"verbose": verbose, "num_components": num_components}
        super().__init__(num_patches, None, seed=seed, forward=forward, **options)
