"""Uploading: a file becomes a batch whose rows wait for their check; the same content twice is stopped."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.batches.card_numbers import without_cards
from payadmin.actions.batches.reading import Sheet, StoreCards, parts, read_sheet
from payadmin.actions.batches.validation import forget_waiting
from payadmin.audit import Event
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.text import Text, _
from payadmin.models.batches import OPEN, Batch, BatchKind, BatchPart, BatchStatus
from payadmin.models.parties import Organization, OrganizationKind, OrganizationStatus
from payadmin.models.payments import PaymentMethod
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.permissions import Permission
from payadmin.providers import connected
from payadmin.queries.blocks import organization_block, refuse
from payadmin.work import Actor, Work, use_case

LONGEST_NAME = 200


def upload_batch(
    actor: Actor,
    data: bytes,
    *,
    name: str,
    kind: BatchKind,
    merchant_id: int,
    method: str | None,
    provider: str | None,
    store_cards: StoreCards,
    keys: Sequence[bytes],
    replaces: int | None = None,
    version: int | None = None,
) -> Batch:
    """Take in a file: nothing of it, or a batch with its rows, which a worker then checks.

    Card numbers are handed to the provider and forgotten before anything is written; the file itself is not kept.

    Args:
        data: the file; its content, not its name, says whether it is CSV, XLSX or XLS.
        merchant_id: whom the rows pay, or register for; of a mass payment, the organization that pays.
        method: how payments are made, as its code; None of a mass payment, which wallets make.
        provider: who moves the money, as its code; None of a mass payment.
        store_cards: the provider's exchange of card numbers for tokens (`Provider.store_cards`).
        keys: the configured keys (`settings.totp_keys`), for the fingerprints of cards.
        replaces: the batch that this file corrects (BA5).
        version: the version of that batch as the form showed it.

    Returns:
        The batch, UPLOADED. A file whose columns are wrong becomes a batch too, so that it can be looked at.

    Raises:
        Forbidden: the actor may not.
        Invalid: the file cannot be read for certain, or the provider is away; the sentence says where and what to do.
        Conflict: a living batch says the same (`data["batch_id"]`), or the one to be replaced has moved on.
    """
    if not actor.may(Permission.BATCHES_BATCH_PROCESS):
        raise Forbidden("Your role does not allow this.")
    # Read, and exchanged for tokens, before the transaction begins: nobody who writes waits for it.
    shown = name.replace("\\", "/").rpartition("/")[2].strip()
    shown = without_cards("".join(mark for mark in shown if mark.isprintable()))[-LONGEST_NAME:] or "file"
    sheet = read_sheet(data, shown, kind, keys)
    try:
        _refuse_same(db.session(), sheet, kind=kind, merchant_id=merchant_id, replaces=replaces)
    finally:
        db.session.rollback()
    sheet.store_cards(store_cards)
    return store_batch(
        actor,
        sheet,
        name=shown,
        kind=kind,
        merchant_id=merchant_id,
        method=method,
        provider=provider,
        replaces=replaces,
        version=version,
    )


@use_case(Permission.BATCHES_BATCH_PROCESS)
def store_batch(
    work: Work,
    sheet: Sheet,
    *,
    name: str,
    kind: BatchKind,
    merchant_id: int,
    method: str | None,
    provider: str | None,
    replaces: int | None,
    version: int | None,
) -> Batch:
    """Store a sheet that was read, and promise its check; see `upload_batch`."""
    merchant = work.get(Organization, merchant_id)
    refuse(organization_block(work.session, merchant_id))
    if kind is BatchKind.MASS_PAYMENT:
        method = provider = None
        _refuse_payer(work, merchant)
    else:
        if merchant.kind is not OrganizationKind.MERCHANT or merchant.status is not OrganizationStatus.ACTIVE:
            raise Invalid("Choose an active merchant.", field="merchant_id")
        if not work.exists(PaymentMethod.code == method):
            raise Invalid("There is no such method.", field="method")
        if provider is None or not connected(provider):
            raise Invalid("payadmin has no connection to this payment provider.", field="provider")
    old = _replaced(work, replaces, version, kind) if replaces is not None else None
    _refuse_same(work.session, sheet, kind=kind, merchant_id=merchant_id, replaces=replaces)
    batch = Batch(
        kind=kind,
        file_name=name,
        format=sheet.format,
        content_hash=sheet.content_hash,
        merchant_id=merchant_id,
        method=method,
        provider=provider,
        uploaded_by=work.actor.name,
        columns=sheet.columns,
        problems=sheet.problems or None,
        notes=sheet.notes,
        rows_total=len(sheet.rows),
    )
    try:
        work.add(batch)
    except IntegrityError:
        raise Conflict("The same file is being uploaded right now.") from None
    pieces = [{"batch_id": batch.id, "number": number, "rows": rows} for number, rows in enumerate(parts(sheet.rows))]
    work.session.execute(insert(BatchPart), pieces)
    if old is not None:
        work.change(Batch, old.id, status=BatchStatus.REPLACED, replaced_by_id=batch.id)
        forget_waiting(work, old.id)
        work.record(
            Event.BATCH_REPLACED, old, after={"status": BatchStatus.REPLACED, "replaced_by_id": batch.id}, file=name
        )
    work.record(
        Event.BATCH_UPLOADED,
        batch,
        after={"kind": kind, "rows_total": batch.rows_total, "merchant_id": merchant_id},
        file=name,
        content_hash=sheet.content_hash,
        replaces_batch_id=replaces,
    )
    work.promise("check_batch", batch_id=batch.id)
    return batch


def _refuse_payer(work: Work, payer: Organization) -> None:
    """A mass payment is paid by an organization that has a wallet to pay out of."""
    if payer.status is not OrganizationStatus.ACTIVE:
        raise Invalid("Choose an active organization.", field="merchant_id")
    if not work.exists(Wallet.organization_id == payer.id, Wallet.status == WalletStatus.OPEN):
        raise Invalid("This organization has no open wallet to pay out of.", field="merchant_id")


def _replaced(work: Work, batch_id: int, version: int | None, kind: BatchKind) -> Batch:
    old = work.get(Batch, batch_id, lock=True)
    if old.status not in OPEN:
        raise Conflict(
            _(
                "%(old)s is %(status)s, so it cannot be replaced any more.",
                old=old,
                status=Text(old.status.value).lower(),
            ),
            batch_id=old.id,
        )
    if version is not None and old.version != version:
        raise Conflict("This batch has moved on meanwhile. Look at it again before you replace it.", batch_id=old.id)
    if old.kind is not kind:
        raise Invalid(
            _(
                "%(old)s is of the type %(kind)s; upload a file of the same type.",
                old=old,
                kind=Text(old.kind.value).lower(),
            )
        )
    return old


def _refuse_same(session: Any, sheet: Sheet, *, kind: BatchKind, merchant_id: int, replaces: int | None) -> None:
    """Stop a file whose content a living batch holds already (BA4)."""
    same = select(Batch).where(
        Batch.merchant_id == merchant_id,
        Batch.kind == kind,
        Batch.content_hash == sheet.content_hash,
        Batch.status.not_in((BatchStatus.DISCARDED, BatchStatus.REPLACED)),
    )
    earlier: Batch | None = session.scalars(same).first()
    if earlier is None:
        return
    if earlier.id == replaces:
        raise Conflict("This file says the same as the one it is to replace. Correct it first.", batch_id=earlier.id)
    raise Conflict(
        _(
            'This file says the same as "%(file_name)s", which %(uploaded_by)s uploaded on %(created_at)s UTC '
            "and which is %(status)s. Nothing was taken in.",
            file_name=earlier.file_name,
            uploaded_by=earlier.uploaded_by,
            created_at=f"{earlier.created_at:%Y-%m-%d %H:%M}",
            status=Text(earlier.status.value).lower(),
        ),
        batch_id=earlier.id,
    )
