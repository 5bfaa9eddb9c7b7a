"""Writes one HTML page about a run, or about several side by side.

python -m binaries.report runs/my_run
python -m binaries.report runs/my_run runs/another --output=comparison.html
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from binaries import _program
from tfsupermask import report

_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "HTML file to write (default: report.html in the run's folder, or for several runs "
    "in the current one).",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the images (default: each run's)."
)


def main(argv):
    """Writes the report and prints its path."""
    _program.require(argv, "Name at least one run folder.")
    for path in argv:
        _program.existing(path)
    _program.load_tensorflow()
    folder = Path(argv[0]) if len(argv) == 1 else Path()
    output = _OUTPUT.value or folder / "report.html"
    print(report.write_report(argv, output, _DATA_DIR.value))


if __name__ == "__main__":
    _program.start(main, takes_arguments=True)
