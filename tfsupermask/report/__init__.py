"""Reports: what a run did, and how runs differ, on one self-contained HTML page."""

from tfsupermask.report.collect import Run, collect_run
from tfsupermask.report.page import render, write_report

__all__ = ["Run", "collect_run", "render", "write_report"]
