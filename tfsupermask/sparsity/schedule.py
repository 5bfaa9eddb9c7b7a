"""A sparsity that rises during training."""

from __future__ import annotations

import dataclasses

from tfsupermask._validation import check_fraction, check_number, fail


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparsityRamp:
    """Sparsity as a function of the epoch: steep at first, flat towards the end.

    The density above the final one shrinks with the third power of the epochs left.
    Most weights are removed early, when there are many to choose from.

    Args:
        final: Sparsity from `end_epoch` on, in [0, 1).
        end_epoch: First epoch with the final sparsity, counted from 0; above
            `begin_epoch`.
        initial: Sparsity up to `begin_epoch`, in [0, 1). Defaults to 0.
        begin_epoch: Last epoch with the initial sparsity, counted from 0, at least 0.
            Defaults to 0.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> ramp = SparsityRamp(final=0.9, end_epoch=3)
        >>> [round(ramp(epoch), 3) for epoch in range(5)]
        [0.0, 0.633, 0.867, 0.9, 0.9]

    Reference:
        - Zhu & Gupta, 2017, "To prune, or not to prune: exploring the efficacy of
          pruning for model compression".
    """

    final: float
    end_epoch: float
    initial: float = 0.0
    begin_epoch: float = 0

    def __post_init__(self):
        check_fraction("final", self.final)
        check_fraction("initial", self.initial)
        check_number("begin_epoch", self.begin_epoch)
        check_number("end_epoch", self.end_epoch)
        if self.end_epoch <= self.begin_epoch:
            raise fail(
                "`end_epoch` must be greater than `begin_epoch`.",
                begin_epoch=self.begin_epoch,
                end_epoch=self.end_epoch,
            )

    def __call__(self, epoch: float) -> float:
        """Returns the sparsity in an epoch, counted from 0; it may be a fraction."""
        left = (self.end_epoch - epoch) / (self.end_epoch - self.begin_epoch)
        left = min(max(left, 0.0), 1.0)
        return self.final + (self.initial - self.final) * left**3
