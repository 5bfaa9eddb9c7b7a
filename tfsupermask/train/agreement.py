"""What the workers of one run must agree on before they go on together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsupermask._validation import fail
from tfsupermask.train.workers import Workers


def agree(workers: Workers, values: Mapping[str, Any]) -> None:
    """Waits for all workers; raises InputError in each if their JSON values differ."""
    first, *others = workers.gather(dict(values))
    for index, other in enumerate(others, start=1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                raise fail(
                    f"All workers must run the same, but `{name}` differs.",
                    worker_0=first.get(name),
                    **{f"worker_{index}": other.get(name)},
                )


def agree_to_stop(workers: Workers, signal: int) -> int:
    """Returns a signal that any worker has got, or 0; all must ask at the same step."""
    return max(workers.gather(int(signal)))
