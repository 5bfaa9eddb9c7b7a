"""Experiments: the thesis's tables and figures, and our own, planned, run and drawn."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "catalogue": "EXPERIMENTS find",
        "catalogue.experiment": "Cell Experiment Value",
        "running.outcomes": "MEASURES",
        "running.output": "OutputFolder",
        "running.planning": "DEFAULT_SEEDS NUM_IMAGES PlannedRun Scope plan shard",
        "running.runner": "run_planned",
        "telling.page": "write_all",
    },
)
