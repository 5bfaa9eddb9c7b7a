"""Training: a run from its configuration to its results."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "evaluation": "evaluate evaluate_path",
        "interruption": "Interrupted",
        "job": "Job run",
        "load": "LoadedRun load_images load_run",
        "loop": "Loop",
        "optimizer": "AdamWithL2 SGDWithL2",
        "strategies": "make_strategy",
        "totals": "Totals",
    },
)
