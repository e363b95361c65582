"""Identification: documents of customers, who is identified and who is not, requests for documents."""

from payadmin.actions.identification.deciding import identify, reject_customer, revoke_identification
from payadmin.actions.identification.documents import (
    accept_document,
    destroy_old_documents,
    documents_in_use,
    download_document,
    erase_document,
    file_documents,
    look_at_document,
    receive,
    reject_document,
)
from payadmin.actions.identification.files import Sent, drop, page_of
from payadmin.actions.identification.links import (
    PURPOSE,
    Gone,
    TooMany,
    asked_needs,
    receive_by_link,
    request_documents,
    reserve_upload_try,
    revoke_upload_link,
    sender,
    show_upload_link,
    text_with_upload_link,
    use_upload_link,
)

__all__ = [
    "PURPOSE",
    "Gone",
    "Sent",
    "TooMany",
    "accept_document",
    "asked_needs",
    "destroy_old_documents",
    "documents_in_use",
    "download_document",
    "drop",
    "erase_document",
    "file_documents",
    "identify",
    "look_at_document",
    "page_of",
    "receive",
    "receive_by_link",
    "reject_customer",
    "reject_document",
    "request_documents",
    "reserve_upload_try",
    "revoke_identification",
    "revoke_upload_link",
    "sender",
    "show_upload_link",
    "text_with_upload_link",
    "use_upload_link",
]
