"""From run folders to a file."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from tfsupermask import data
from tfsupermask._files import write_atomically
from tfsupermask._validation import fail
from tfsupermask.report.collect import collect_run
from tfsupermask.report.render import render


def write_report(
    paths: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    data_dir: str | None = None,
) -> Path:
    """Writes one self-contained HTML page about runs, side by side if several.

    The last epoch's results, curves, masks layer by layer, the initialisation and what
    the model says of the images it is evaluated on; for several runs also what they
    differ in, and how far their masks agree. A run may be unfinished. Where the images
    are not to be had, a warning says so and the page goes without them.

    Args:
        paths: The runs' folders, at least one.
        output: The file; one that is there is replaced once the new one is complete.
            Missing folders are made.
        data_dir: Folder of the images. Defaults to each run's.

    Returns:
        The file.

    Raises:
        InputError: There is no folder, one holds no run, or `output` is a folder.

    Example:
        >>> write_report(["runs/my_run", "runs/my_run"], "report.html")
        PosixPath('report.html')
    """
    output = Path(output)
    if not paths:
        raise fail("`paths` must name at least one run folder.", paths=list(paths))
    if output.is_dir():
        raise fail("`output` must be a file, not a folder.", output=str(output))
    # Runs to be compared mostly share their images.
    load = functools.lru_cache(maxsize=1)(data.load)
    page = render([collect_run(path, data_dir, load) for path in paths])
    output.parent.mkdir(parents=True, exist_ok=True)
    # A name that is not Unicode must not cost the report.
    write_atomically(output, lambda file: file.write(page.encode(errors="replace")))
    return output
