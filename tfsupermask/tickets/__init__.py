"""Tickets: a supermask model in one small file that is safe to load."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "ticket": "Ticket load_ticket read_ticket_header save_ticket",
        "names": "PRECISIONS",
    },
)
