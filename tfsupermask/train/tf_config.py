"""The workers that the environment variable TF_CONFIG names."""

from __future__ import annotations

import collections
import dataclasses
import os
from typing import Any

from tfsupermask._reading import parse_json
from tfsupermask._validation import fail

_VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")
_MAX_PORT = 65_535


@dataclasses.dataclass(frozen=True)
class Worker:
    """One process of a run, and where it listens."""

    job: str
    index: int
    address: str

    def __str__(self):
        return f"{self.job} {self.index} ({self.address})"

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The two parts of the address."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


def is_set() -> bool:
    """Returns whether there is a TF_CONFIG."""
    return bool(os.environ.get(_VARIABLE))


def read() -> tuple[list[Worker], int]:
    """Returns all workers, the one that writes files first, and which one this is."""
    text = os.environ.get(_VARIABLE)
    if not text:
        raise fail(
            "`strategy` 'multi_worker' needs the environment variable TF_CONFIG, "
            "which names the workers' addresses and this worker's index.",
            TF_CONFIG=text,
        )
    content = parse_json(os.fsencode(text), _VARIABLE)
    cluster, task = content.get("cluster"), content.get("task")
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise fail(
            "TF_CONFIG must hold `cluster`, the addresses of all workers, and `task`, "
            "the type and index of this one; --strategy=single does without.",
            TF_CONFIG=text,
        )
    workers = [
        Worker(job, index, address)
        for job in _JOBS
        for index, address in enumerate(_addresses(cluster, job))
    ]
    return workers, _position(task, workers)


def _addresses(cluster: dict[str, Any], job: str) -> list[str]:
    addresses = cluster.get(job, [])
    if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
        raise fail(
            f"`cluster` of TF_CONFIG must list addresses as host:port, with ports in "
            f"[1, {_MAX_PORT}].",
            **{job: addresses},
        )
    # TensorFlow knows one chief.
    if job == "chief" and len(addresses) > 1:
        raise fail("`cluster` of TF_CONFIG may name one chief.", chief=addresses)
    return addresses


def _is_address(address):
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 1 <= int(port) <= _MAX_PORT


def _position(task, workers):
    shared = collections.Counter(worker.address for worker in workers)
    address, times = max(shared.items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise fail(
            f"Every worker in TF_CONFIG must have its own address; {times} share one.",
            address=address,
        )
    job, index = task.get("type"), task.get("index")
    there = [worker for worker in workers if worker.job == job]
    if not there:
        raise fail(
            "`type` in TF_CONFIG's task must be a job of its cluster, "
            f"{' or '.join(_JOBS)}.",
            type=job,
            cluster=sorted({worker.job for worker in workers}),
        )
    # TensorFlow takes "1" for 1.
    number = int(index) if isinstance(index, str) and index.isdecimal() else index
    if type(number) is not int or not 0 <= number < len(there):
        raise fail(
            f"`index` in TF_CONFIG's task must be an integer in [0, {len(there)}), the "
            f"number of addresses of {job}.",
            index=index,
        )
    return workers.index(there[number])
