"""The page, from what was collected."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from tfsupermask import _text
from tfsupermask.report import charts, curves, images
from tfsupermask.report.collect import Run
from tfsupermask.report.comparison import compare

MAX_TABLE_CLASSES = 20

# The names of files and classes are anybody's: nothing goes in unescaped.
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("tfsupermask.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "duration": _text.duration,
    "general": _text.general,
    "image_uri": images.image_uri,
    "number": _text.number,
    "percent": _text.percent,
    "png_uri": images.png_uri,
    "significant": _text.significant,
}
_ENVIRONMENT.globals |= {
    "MAX_TABLE_CLASSES": MAX_TABLE_CLASSES,
    "common_curves": curves.common_curves,
    "confusion_map": images.confusion_map,
    "run_curves": curves.run_curves,
    "score_histogram": charts.score_histogram,
    "shade": images.shade,
}


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
