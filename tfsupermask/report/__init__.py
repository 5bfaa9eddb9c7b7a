"""Reports: what a run did, and how runs differ, on one self-contained HTML page."""

from tfsupermask.report.collect import Run, collect_run
from tfsupermask.report.comparison import Comparison, compare
from tfsupermask.report.render import render
from tfsupermask.report.write import write_report

__all__ = ["Comparison", "Run", "collect_run", "compare", "render", "write_report"]
