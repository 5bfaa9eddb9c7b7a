from .collect import Run as Run, collect_run as collect_run
from .page import render as render, write_report as write_report
