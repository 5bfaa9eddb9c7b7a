"""What the workers of one run must agree on before they go on together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail

_MAX_BYTES = 16_384


def agree(strategy: tf.distribute.Strategy, values: Mapping[str, Any]) -> None:
    """Waits for all workers; raises InputError in each if their JSON values differ."""
    if num_workers(strategy) == 1:
        return
    first, *others = _gathered(strategy, values)
    for index, other in enumerate(others, start=1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                raise fail(
                    f"All workers must run the same, but `{name}` differs.",
                    replica_0=first.get(name),
                    **{f"replica_{index}": other.get(name)},
                )


def agree_to_stop(strategy: tf.distribute.Strategy, signal: int) -> int:
    """Returns a signal that any worker has got, or 0; all must ask at the same step."""
    if num_workers(strategy) == 1:
        return int(signal)
    return max(_gathered(strategy, int(signal)))


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of processes that run together."""
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict() if resolver else {}
    return sum(len(jobs.get(job, ())) for job in ("chief", "worker")) or 1


def _gathered(strategy, values: Any) -> list[Any]:
    """Returns the values of all replicas in order, the same on all workers."""
    text = json.dumps(values, sort_keys=True).encode()
    if len(text) > _MAX_BYTES:
        raise ValueError(f"{len(text)} bytes are more than {_MAX_BYTES}")
    padded = np.frombuffer(text.ljust(_MAX_BYTES), np.uint8).astype(np.int32)
    mine = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(padded[None])
    )
    rows = strategy.gather(mine, axis=0).numpy().astype(np.uint8)
    return [json.loads(row.tobytes()) for row in rows]
