"""Runs the train program, late by a second wherever workers could miss each other."""

import functools
import runpy
import time

from tfsupermask import train
from tfsupermask.runs import checkpoint
from tfsupermask.train import job
from tfsupermask.train.workers import Workers

POINTS = {
    Workers: ("join", "gather"),
    checkpoint: ("restore_latest", "save"),
    job: ("make_strategy", "load_images", "claimed", "restore"),
    train.Job: ("__init__", "initialise", "_write_results"),
}


def late(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        time.sleep(1)
        return function(*args, **kwargs)

    return call


if __name__ == "__main__":
    for owner, names in POINTS.items():
        for name in names:
            setattr(owner, name, late(getattr(owner, name)))
    runpy.run_module("binaries.train", run_name="__main__", alter_sys=True)
