from .file import PRECISIONS as PRECISIONS
from .ticket import (
    Ticket as Ticket,
    load_ticket as load_ticket,
    read_ticket_header as read_ticket_header,
    save_ticket as save_ticket,
)
