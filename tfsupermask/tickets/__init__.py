"""Tickets: a supermask model in one small file that is safe to load."""

from tfsupermask.tickets.ticket import (
    Ticket,
    load_ticket,
    read_ticket_header,
    save_ticket,
)
from tfsupermask.tickets.weights import PRECISIONS

__all__ = ["PRECISIONS", "Ticket", "load_ticket", "read_ticket_header", "save_ticket"]
