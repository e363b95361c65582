"""Support: tickets and what is said in them, codewords, and the teams of support managers."""

from payadmin.actions.support.codewords import (
    LASTS,
    MOST_TRIES,
    WITHIN,
    Verdict,
    compare_codeword,
    new_codeword,
    note_search,
    set_codeword,
)
from payadmin.actions.support.letters import mail_text, reply_address, template_text, template_titles
from payadmin.actions.support.store import fetch
from payadmin.actions.support.talking import (
    AFTERWARDS,
    answer_ticket,
    fetch_file,
    files_in_use,
    note_ticket,
    take_mail,
)
from payadmin.actions.support.teams import make_team, put_into_team, rename_team
from payadmin.actions.support.tickets import (
    assign_ticket,
    link_payment,
    merge_ticket,
    move_ticket,
    open_ticket,
    rank_ticket,
)
from payadmin.actions.support.words import MOST_FILES

__all__ = [
    "AFTERWARDS",
    "LASTS",
    "MOST_FILES",
    "MOST_TRIES",
    "WITHIN",
    "Verdict",
    "answer_ticket",
    "assign_ticket",
    "compare_codeword",
    "fetch",
    "fetch_file",
    "files_in_use",
    "link_payment",
    "mail_text",
    "make_team",
    "merge_ticket",
    "move_ticket",
    "new_codeword",
    "note_search",
    "note_ticket",
    "open_ticket",
    "put_into_team",
    "rank_ticket",
    "rename_team",
    "reply_address",
    "set_codeword",
    "take_mail",
    "template_text",
    "template_titles",
]
