"""Reports: what a run did, and how runs differ, on one self-contained HTML page."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "collect": "Run collect_run",
        "page": "render write_report",
    },
)
