"""The HTML page of a report, and the file that it is written to."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np

from tfsupermask import _text, data
from tfsupermask._files import check_local, write_atomically
from tfsupermask._validation import fail
from tfsupermask.report.charts import mask_histogram
from tfsupermask.report.collect import Run, collect_run
from tfsupermask.report.comparison import compare
from tfsupermask.report.curves import common_curves, run_curves
from tfsupermask.report.predictions import confusion_map, shade

MAX_TABLE_CLASSES = 20


def render(runs: Sequence[Run]) -> str:
    """Returns the HTML page of one run, or of several side by side.

    Styles, charts and pictures are inside the page. It loads nothing and has no script.

    Args:
        runs: One or more runs.

    Example:
        >>> page = render([collect_run("runs/my_run")])
        >>> "<h1>conv2 on folder</h1>" in page, "<script" in page
        (True, False)
    """
    template = _ENVIRONMENT.get_template("report.html")
    return template.render(runs=runs, comparison=compare(runs))


def write_report(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    output: str | os.PathLike,
    data_dir: str | None = None,
) -> Path:
    """Writes one self-contained HTML page about a run, or about several side by side.

    It shows the last epoch's results, curves, the masks of each layer, the
    initialisation, and the predictions for the evaluation images. For several runs it
    also shows in which settings they differ and how far their masks agree. A run may be
    unfinished. Without the images a warning says so, and the page has no predictions.

    Args:
        paths: The folder of a run, or the folders of several.
        output: The file. An older one is replaced when the new one is complete. Missing
            folders are made.
        data_dir: Folder of the images. Defaults to each run's.

    Returns:
        The file.

    Raises:
        InputError: `paths` is empty, a folder holds no run, or `output` is a folder.

    Example:
        >>> write_report(["runs/my_run", "runs/my_run"], "report.html")
        PosixPath('report.html')
    """
    output = Path(check_local("output", output))
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if not paths:
        raise fail("`paths` must name at least one run folder.", paths=list(paths))
    if output.is_dir():
        raise fail("`output` must be a file, not a folder.", output=str(output))
    # Runs that are compared mostly share their images.
    load = functools.lru_cache(maxsize=1)(data.load)
    page = render([collect_run(path, data_dir, load) for path in paths])
    output.parent.mkdir(parents=True, exist_ok=True)
    # The report is written even if a name is not Unicode.
    write_atomically(output, lambda file: file.write(page.encode(errors="replace")))
    return output


def environment(*packages: str) -> jinja2.Environment:
    """Returns an environment with the templates of packages, the first ones first."""
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([*map(jinja2.PackageLoader, packages)]),
        autoescape=True,  # file names, class names and reasons may hold anything
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["data_uri"] = _text.data_uri
    return made


def image_uri(image: np.ndarray) -> str:
    """Returns a data URI of uint8 pixels, (height, width, 3) RGB or 4 with opacity."""
    order = [2, 1, 0, 3][: image.shape[2]]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(image[..., order]))
    return _text.data_uri(encoded.tobytes(), "image/png")


_ENVIRONMENT = environment("tfsupermask.report")
_ENVIRONMENT.filters |= {
    "duration": _text.duration,
    "general": _text.general,
    "image_uri": image_uri,
    "number": _text.number,
    "percent": _text.percent,
    "short_commit": _text.short_commit,
    "significant": _text.significant,
}
_ENVIRONMENT.globals |= {
    "MAX_TABLE_CLASSES": MAX_TABLE_CLASSES,
    "common_curves": common_curves,
    "confusion_map": confusion_map,
    "run_curves": run_curves,
    "mask_histogram": mask_histogram,
    "shade": shade,
}
