"""Every model with an ID of its own is found by the search over everything, or it stands here with a reason."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import String, inspect

from payadmin import models
from payadmin.db import Base
from payadmin.views.finder import looked_at, pages_of_search

pytestmark = pytest.mark.once

models.load_models()

# Models with unique words that nobody looks for, or not here.
NOT_FOUND = {
    "AccountLink": "hashes",
    "ActionRun": "its token is an address, not a name",
    "ApprovalPolicy": "a dozen lines, all on one page",
    "ApprovalRequest": "its key only recognises a repeated form; requests are found on the inbox and on their record",
    "CheckoutRuleset": "one at most is active; versions are called by their number",
    "IdentityDocument": "its file is named by chance",
    "ImportFile": "its fingerprint recognises a file; staff see the answer of the command",
    "LoginGuard": "counts of tries, nothing to see",
    "Note": "found on what it is about; its key only recognises a repeated form",
    "PaymentFileLine": "found on its payment file, and on Bank statements by its reference",
    "PaymentMethod": "a choice in filters",
    "RecoveryCode": "hashes",
    "SpentOffer": "used confirmations",
    "SupportTeam": "a dozen names, all on one page",
    "CashOperation": "its key only recognises a repeated form; it is found on Cash operations by receipt and wallet",
    "SystemOperation": "its key only recognises a repeated form; it is found on its page by number",
    "TicketFile": "its name in the store says nothing; files are found in their tickets",
    "TicketMessage": "its key only recognises a repeated form; messages are read in their tickets",
    "Unit": "a choice in filters; Issuers (units) comes with its issue",
    "UploadLink": "hashes",
    "UserSession": "hashes",
    "WatchRule": "a dozen names, all on one page",
    "WalletTransaction": "its key only recognises a repeated form; it is found on its wallets and by its number",
}


def with_an_id() -> set[type[Any]]:
    """Models with a word that stands for one row."""
    found = set()
    for mapper in Base.registry.mappers:
        table = mapper.local_table
        alone = {index.columns[0].name for index in table.indexes if index.unique and len(index.columns) == 1}
        for column in mapper.columns:
            is_word = isinstance(column.type, String) and not column.foreign_keys
            if is_word and (column.unique or column.name in alone):
                found.add(mapper.class_)
    return found


def test_what_has_an_id_is_found_by_it_or_has_a_reason(app: Flask) -> None:
    found = {attr.class_ for page in pages_of_search() for attr, _ in looked_at(page)}
    reached = {page.model for page in pages_of_search()}
    missing = {model.__name__ for model in with_an_id() - found - reached}
    assert missing == set(NOT_FOUND) & {mapper.class_.__name__ for mapper in Base.registry.mappers}
    assert set(NOT_FOUND) - missing == set(), "a reason that no longer holds must leave the list"


def test_what_finds_leads_an_index_and_is_no_secret(app: Flask) -> None:
    for page in pages_of_search():
        assert page.mistakes == []
        for attr, _ in looked_at(page):
            assert not attr.property.columns[0].info.get("secret"), attr
            assert inspect(attr.class_).primary_key[0].name == "id"
