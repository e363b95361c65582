"""Uploading: what a file says counts, not its bytes; no card number stays; wrong columns can be looked at."""

import gzip
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from payadmin.actions.batches import discard_batch, template
from payadmin.db import Base, db
from payadmin.kernel.cards import fingerprint, fingerprints
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.sheets import read_table
from payadmin.models.batches import Batch, BatchKind, BatchPart, BatchRow, BatchStatus
from payadmin.models.parties import OrganizationKind
from payadmin.providers import StoredCard
from tests.support.batches import PAYMENT_COLUMNS, BatchRoom, card_number, csv_file, xlsx_file

DATA = Path(__file__).parents[1] / "data"
REGISTRATION = BatchKind.REGISTRATION


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def everything_stored() -> str:
    """Every value of every table, as one text."""
    db.session.rollback()
    said = []
    for table in Base.metadata.sorted_tables:
        rows = db.session.execute(text(f"SELECT * FROM {table.name}")).all()
        said += [str(value) for row in rows for value in row]
    db.session.rollback()
    return "\n".join(said)


def real_workbook(name: str) -> bytes:
    return gzip.decompress((DATA / f"birmingham_upload_{name}.xls.gz").read_bytes())


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize("kind", [BatchKind.REGISTRATION, BatchKind.SINGLE_PAYMENT])
def test_a_template_is_taken_as_it_stands(room: BatchRoom, kind: BatchKind, form: str) -> None:
    for number in (1, 2):
        room.make.customer(external_id=f"C-00000{number}")
    room.make.subscription(billing_number="BN-1001" if kind is BatchKind.SINGLE_PAYMENT else "OTHER")
    batch = room.checked(template(kind, form, today=room.today, units=["EUR", "JPY"]), kind=kind, name=f"t.{form}")
    assert room.errors(batch.id) == {}
    assert (batch.status, batch.rows_valid, batch.notes) == (BatchStatus.READY, 2, [])
    assert batch.format == form.upper()


def test_the_same_content_in_another_format_order_or_name_is_stopped_and_leads_to_the_first(room: BatchRoom) -> None:
    rows = [room.payment(n, card_no=card_number(n)) for n in range(1, 6)]
    first = room.upload(rows, name="march.csv")
    again = [dict(reversed(row.items())) for row in reversed(rows)]
    for data, name in (
        (csv_file(rows), "march.csv"),
        (csv_file(again), "other.csv"),
        (xlsx_file(again), "march.xlsx"),
        (csv_file([row | {"amount": "12.5"} for row in rows]).replace(b",", b";").replace(b"\n", b"\r\n"), "m.csv"),
    ):
        with pytest.raises(Conflict, match=r'says the same as "march\.csv", which operator uploaded') as stopped:
            room.upload(data, name=name)
        assert stopped.value.data["batch_id"] == first
    assert count(Batch) == 1
    assert len(room.cards) == 5, "a file that is stopped hands no card to the provider"
    room.upload([rows[0] | {"amount": "12.51"}, *rows[1:]], name="march.csv")
    assert count(Batch) == 2


def test_two_real_workbooks_with_other_bytes_and_the_same_rows_are_the_same(room: BatchRoom) -> None:
    first, second = real_workbook("dup_a"), real_workbook("dup_b")
    assert first != second
    batch = room.checked(first, name="birmingham_upload_dup_a.xls")
    assert (batch.status, batch.format, batch.rows_total) == (BatchStatus.HAS_ERRORS, "XLS", 4_573)
    assert {problem["column"] for problem in batch.problems or ()} >= {"invoice_number", "TRANS DATE"}
    assert batch.why_not_processable is not None
    assert batch.why_not_processable.startswith("Its columns are not those of the template.")
    with pytest.raises(Conflict, match=r'says the same as "birmingham_upload_dup_a\.xls"') as stopped:
        room.upload(second, name="birmingham_upload_dup_b.xls")
    assert stopped.value.data["batch_id"] == batch.id
    room.upload(real_workbook("2015-08"), name="birmingham_upload_2015-08.xls")


def test_the_rows_of_a_real_workbook_are_the_same_payments_in_whatever_file(room: BatchRoom) -> None:
    """The council's rows as payments: from one workbook as XLSX, from its twin as CSV in another order."""

    def payments(name: str) -> list[dict[str, str]]:
        found = []
        for number, cells in read_table(real_workbook(name), "real.xls").rows:
            amount = f"{abs(cells[2]):.2f}"  # type: ignore[arg-type]
            if len(found) < 300 and amount != "0.00":
                said = {"invoice_number": f"T-{number}", "description": str(cells[3]), "amount": amount}
                found.append(room.payment(1 + number % 20, **said))
        return found

    batch = room.checked(xlsx_file(payments("dup_a"), PAYMENT_COLUMNS), name="a.xlsx")
    assert (batch.status, batch.rows_valid, room.errors(batch.id)) == (BatchStatus.READY, 300, {})
    with pytest.raises(Conflict, match=r'says the same as "a\.xlsx"'):
        room.upload(csv_file(payments("dup_b")[::-1], PAYMENT_COLUMNS), name="b.csv")


def test_two_who_upload_the_same_file_at_once_upload_it_once(room: BatchRoom) -> None:
    data, said, gate = csv_file([room.payment(n) for n in range(1, 4)]), list[str](), threading.Barrier(2)
    db.session.remove()

    def send() -> None:
        with room.office.app.app_context():
            gate.wait()
            try:
                room.upload(data)
                said.append("taken in")
            except Conflict as stopped:
                said.append(stopped.code)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["conflict", "taken in"]
    assert count(Batch) == 1


def test_a_corrected_file_replaces_the_one_with_errors(room: BatchRoom) -> None:
    wrong = room.checked([room.payment(1), room.payment(2, amount="-1")])
    with pytest.raises(Conflict, match="says the same as the one it is to replace"):
        room.upload([room.payment(1), room.payment(2, amount="-1")], replaces=wrong.id, version=wrong.version)
    right = room.upload([room.payment(1), room.payment(2)], replaces=wrong.id, version=wrong.version)
    old = room.batch(wrong.id)
    assert (old.status, old.replaced_by_id) == (BatchStatus.REPLACED, right)
    with pytest.raises(Conflict, match="is replaced, so it cannot be replaced"):
        room.upload([room.payment(3)], replaces=wrong.id)
    with pytest.raises(Invalid, match="upload a file of the same type"):
        room.upload([room.registration(1)], kind=REGISTRATION, replaces=right)
    room.office.work()
    room.process(right)
    room.office.settle()
    with pytest.raises(Conflict, match="cannot be replaced any more"):
        room.upload([room.payment(5)], replaces=right)
    assert len(room.office.payments()) == 2


def test_a_batch_that_has_moved_on_is_not_replaced_unseen(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, amount="x")])
    with pytest.raises(Conflict, match="has moved on"):
        room.upload([room.payment(1)], replaces=batch.id, version=batch.version - 1)
    assert room.batch(batch.id).status is BatchStatus.HAS_ERRORS
    assert count(Batch) == 1


def test_a_discarded_file_may_be_uploaded_again(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1)])
    discard_batch(room.make.actor(), batch.id, version=batch.version, reason="Wrong month")
    assert room.batch(batch.id).status is BatchStatus.DISCARDED
    with pytest.raises(Conflict, match="was discarded"):
        room.process(batch.id)
    again = room.checked([room.payment(1)])
    assert again.status is BatchStatus.READY


def test_a_file_that_is_discarded_while_it_is_checked_is_left_alone(room: BatchRoom) -> None:
    batch_id = room.upload([room.payment(1)])
    discard_batch(room.make.actor(), batch_id, version=room.batch(batch_id).version)
    room.office.work()
    assert room.batch(batch_id).status is BatchStatus.DISCARDED
    assert room.rows(batch_id) == []


def test_no_card_number_is_stored_logged_or_kept(room: BatchRoom, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    numbers = [card_number(n) for n in range(60)]
    spaced = [" ".join(re.findall("....", number)) for number in numbers[:20]]
    rows = [room.payment(1 + n % 20, invoice_number=f"I-{n}", card_no=number) for n, number in enumerate(spaced)]
    rows += [
        room.payment(1, invoice_number=f"J-{n}", card_no=f"{number[:-1]}x") for n, number in enumerate(numbers[20:25])
    ]
    for n, number in enumerate(numbers[25:30]):
        rows.append(room.payment(1, invoice_number=f"K-{n}", description=f"order {number} thanks"))
        rows.append(room.payment(1, invoice_number=f"L-{n}", card_no="", card_token=number))
        rows.append(room.payment(1, invoice_number=number, card_no=""))
    typo = "4242424242424241"
    rows.append(room.payment(1, invoice_number="TYPO", card_no=typo))
    batch = room.checked(rows)
    assert batch.status is BatchStatus.HAS_ERRORS
    wrong_columns = room.checked(csv_file([{"who": "Ana", "card number": number} for number in numbers[30:]]))
    assert wrong_columns.problems
    stored, logged = everything_stored(), caplog.text
    for number in (*numbers, typo):
        assert number not in stored
        assert number not in logged
        assert " ".join(re.findall("....", number)) not in stored
        assert number[:15] not in stored
    assert set(room.cards) == set(numbers[:20]) | {"4242424242424242"}
    first = room.rows(batch.id)[0]
    assert first.cells[PAYMENT_COLUMNS.index("card_no")] == f"•••{numbers[0][-4:]}"
    assert (first.card_first6, first.card_last4) == (numbers[0][:6], numbers[0][-4:])
    assert first.card_token is not None
    assert first.card_token.startswith("card_")
    assert first.card_fingerprint == fingerprint(room.settings.totp_keys, numbers[0])


def test_a_full_number_is_found_by_its_fingerprint_under_any_configured_key() -> None:
    old, new = b"o" * 32, b"n" * 32
    stored = fingerprint([old], "4242424242424242")
    assert stored in fingerprints([new, old], "4242424242424242")
    assert stored not in fingerprints([new, old], "4242424242424243")
    assert fingerprint([new, old], "4242424242424242") != stored


def test_without_an_answer_of_the_provider_nothing_is_kept(room: BatchRoom) -> None:
    with pytest.raises(Invalid, match="cannot store cards at the moment"):
        room.upload([room.payment(1)], store_cards=lambda _: None)
    assert count(Batch) == count(BatchPart) == 0
    room.upload([room.payment(1, card_no="", card_token="tok_visa")], store_cards=lambda _: None)


def test_a_card_that_the_provider_does_not_take_is_an_error_of_its_row(room: BatchRoom) -> None:
    def picky(numbers: Sequence[str]) -> list[StoredCard]:
        return [StoredCard(None, "Only cards of this country.") for _ in numbers]

    batch = room.checked([room.payment(1)], store_cards=picky)
    assert room.errors(batch.id) == {2: {"card_no": "Only cards of this country."}}


def test_a_small_file_and_a_large_one_are_checked_to_their_last_row(room: BatchRoom) -> None:
    rows = [room.payment(1 + n % 20, invoice_number=f"I-{n}", amount="x" if n == 2_499 else "1") for n in range(2_500)]
    batch = room.checked(rows)
    assert (batch.rows_checked, batch.rows_valid, batch.rows_invalid) == (2_500, 2_499, 1)
    assert list(room.errors(batch.id)) == [2_501]
    assert (count(BatchRow), count(BatchPart)) == (2_500, 0)
    assert batch.totals == {"EUR": {"rows": 2_499, "minor": 2_499_00, "valid_rows": 2_499, "valid_minor": 2_499_00}}


def test_amounts_are_added_up_by_currency(room: BatchRoom) -> None:
    batch = room.checked(
        [room.payment(1), room.payment(2, currency="JPY", amount="500"), room.payment(3, billing_number="?")]
    )
    assert batch.totals == {
        "EUR": {"rows": 2, "minor": 25_00, "valid_rows": 1, "valid_minor": 12_50},
        "JPY": {"rows": 1, "minor": 500, "valid_rows": 1, "valid_minor": 500},
    }


def test_whom_a_file_pays_and_how_must_exist(room: BatchRoom) -> None:
    bank = room.make.organization("Bank", kind=OrganizationKind.ISSUER)
    for wrong, kind in (
        ({"merchant_id": bank.id}, Invalid),
        ({"merchant_id": 999_999}, NotFound),
        ({"method": "barter"}, Invalid),
        ({"provider": "nobody"}, Invalid),
    ):
        with pytest.raises(kind):
            room.upload([room.payment(1)], **wrong)
    assert count(Batch) == 0


def test_a_files_name_is_shown_without_its_folders_and_hidden_signs(room: BatchRoom) -> None:
    batch = room.batch(room.upload([room.payment(1)], name="C:\\Users\\ana\\ma\u202ery\x00.csv"))
    assert batch.file_name == "mary.csv"
    assert room.batch(room.upload([room.payment(2)], name="x" * 500)).file_name == "x" * 200
