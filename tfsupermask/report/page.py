"""The page, from what was collected, and its file."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np

from tfsupermask import _text, data
from tfsupermask._files import write_atomically
from tfsupermask._validation import fail
from tfsupermask.report.charts import score_histogram
from tfsupermask.report.collect import Run, collect_run
from tfsupermask.report.comparison import compare
from tfsupermask.report.curves import common_curves, run_curves
from tfsupermask.report.predictions import confusion_map, shade

MAX_TABLE_CLASSES = 20


def render(runs: Sequence[Run]) -> str:
    """Returns the HTML page of one run, or of several side by side.

    Nothing on it comes from elsewhere, and nothing on it runs: styles, charts and
    pictures are inside.

    Args:
        runs: One or more.

    Example:
        >>> page = render([collect_run("runs/my_run")])
        >>> "<h1>conv2 on folder</h1>" in page, "<script" in page
        (True, False)
    """
    template = _ENVIRONMENT.get_template("report.html")
    return template.render(runs=runs, comparison=compare(runs))


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


def environment(*packages: str) -> jinja2.Environment:
    """Returns what renders the templates of packages, the first that has one first.

    The names of files and classes, and the reasons why runs failed, are anybody's text:
    nothing goes in unescaped.
    """
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([*map(jinja2.PackageLoader, packages)]),
        autoescape=True,
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
    "significant": _text.significant,
}
_ENVIRONMENT.globals |= {
    "MAX_TABLE_CLASSES": MAX_TABLE_CLASSES,
    "common_curves": common_curves,
    "confusion_map": confusion_map,
    "run_curves": run_curves,
    "score_histogram": score_histogram,
    "shade": shade,
}
