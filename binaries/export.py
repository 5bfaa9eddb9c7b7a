"""Writes the SavedModel of a run's newest checkpoint.

python -m binaries.export --path=runs/my_run --output=my_model
"""

from __future__ import annotations

from absl import flags

from binaries import _program
from tfsupermask.export import export_saved_model
from tfsupermask.train import load_run

_PATH = flags.DEFINE_string("path", None, "Run folder.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Folder of the SavedModel; an older SavedModel there is replaced.",
    required=True,
)


def main(argv):
    """Exports and says where to."""
    _program.refuse_arguments(argv)
    run = load_run(_PATH.value)
    path = export_saved_model(
        run.model, _OUTPUT.value, run.mean, run.std, run.class_names
    )
    print(f"{path}: {run.config.model} after epoch {run.epoch}")


if __name__ == "__main__":
    _program.start(main)
