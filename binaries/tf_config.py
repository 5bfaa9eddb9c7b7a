"""Prints TF_CONFIG for one of several worker processes.

    export TF_CONFIG=$(python -m binaries.tf_config --hosts=node0,node1 --index=0)

Give all processes the same hosts in the same order, and each its own index. A host that
is named twice runs two processes.
"""

from __future__ import annotations

import json

from absl import flags

from binaries import _program
from tfsupermask._validation import fail

_HOSTS = flags.DEFINE_list("hosts", None, "Names or addresses, one for each process.")
_INDEX = flags.DEFINE_integer("index", None, "Index of this process, from 0.")
_PORT = flags.DEFINE_integer("port", 2301, "First TCP port.", 1024, 65_000)


def tf_config(hosts: list[str], index: int, port: int) -> str:
    """Returns TF_CONFIG as JSON; processes on one host get consecutive ports."""
    if not hosts or not all(host and ":" not in host.split("]")[-1] for host in hosts):
        raise fail(
            "`hosts` must name the host of every process, without a port.", hosts=hosts
        )
    if index is None or not 0 <= index < len(hosts):
        raise fail(
            f"`index` must be in [0, {len(hosts)}), the number of hosts.", index=index
        )
    addresses = [
        f"{host}:{port + hosts[:place].count(host)}" for place, host in enumerate(hosts)
    ]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def main():
    """Prints one line."""
    print(tf_config(_HOSTS.value, _INDEX.value, _PORT.value))


if __name__ == "__main__":
    _program.start(main)
