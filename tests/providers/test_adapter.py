"""What the adapter makes of everything a provider can do to it, against the real simulator in its own process."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from payadmin.kernel.errors import Conflict
from payadmin.providers import Answer, Outcome, provider_for
from payadmin.providers.simulator import SimulatorProvider
from tests.support.simulator import Simulator

pytestmark = pytest.mark.once

numbers = count(1)


def charge(provider, reference="sub-1:2026-01-01", *, key=None, amount_minor=1250, unit="EUR", token="tok_visa"):
    return provider.charge(
        key=key or f"key-{next(numbers)}",
        reference=reference,
        amount_minor=amount_minor,
        unit=unit,
        token=token,
        metadata={"invoice": "F-1"},
    )


def eventually(ask, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)
    return answer


def found(provider, reference="sub-1:2026-01-01"):
    answer = provider.find_charge(reference)
    return answer if answer and answer.outcome is Outcome.SUCCEEDED else None


class TestEveryFault:
    def test_a_charge_succeeds_with_the_amount_asked_for(self, provider, simulator):
        answer = charge(provider)
        assert answer.outcome is Outcome.SUCCEEDED
        assert answer.amount_minor == 1250
        assert provider.find_charge("sub-1:2026-01-01") == answer
        assert simulator.captured("sub-1:2026-01-01") == [1250]

    @pytest.mark.parametrize(
        ("fault", "outcome", "captures"),
        [
            ("drop_before", Outcome.UNKNOWN, 0),
            ("drop_after", Outcome.UNKNOWN, 1),
            ("err500_before", Outcome.UNKNOWN, 0),
            ("err500_after", Outcome.UNKNOWN, 1),
            ("slow", Outcome.UNKNOWN, 1),
            ("late", Outcome.UNKNOWN, 1),
            ("err429", Outcome.NOT_SENT, 0),
            ("decline", Outcome.DECLINED, 0),
            ("pending", Outcome.PENDING, 1),
            ("double", Outcome.SUCCEEDED, 2),
        ],
    )
    def test_a_fault_has_one_outcome_and_the_look_up_tells_the_truth(
        self, provider, simulator, fault, outcome, captures
    ):
        simulator.script("sub-1:2026-01-01", [fault])
        assert charge(provider).outcome is outcome
        if captures:
            answer = eventually(lambda: found(provider))
            assert answer.amount_minor == 1250
        else:
            assert provider.find_charge("sub-1:2026-01-01") is None
        assert simulator.captured("sub-1:2026-01-01") == [1250] * captures

    @pytest.mark.parametrize(
        ("fault", "second"),
        [
            ("drop_before", Outcome.SUCCEEDED),
            ("drop_after", Outcome.SUCCEEDED),
            ("err500_before", Outcome.SUCCEEDED),
            ("err500_after", Outcome.UNKNOWN),  # a kept 500 is answered again: only the look-up helps
            ("slow", Outcome.SUCCEEDED),
            ("late", Outcome.UNKNOWN),  # 409 while the first is in progress
            ("err429", Outcome.SUCCEEDED),
            ("decline", Outcome.DECLINED),
            ("pending", Outcome.PENDING),
        ],
    )
    def test_sending_again_with_the_same_key_never_captures_twice(self, provider, simulator, fault, second):
        simulator.script("sub-1:2026-01-01", [fault])
        charge(provider, key="one")
        assert charge(provider, key="one").outcome is second
        if second is not Outcome.DECLINED:
            eventually(lambda: found(provider))
            assert simulator.captured("sub-1:2026-01-01") == [1250]

    def test_a_pending_charge_is_pending_until_it_settles(self, provider, simulator):
        simulator.script("sub-1:2026-01-01", ["pending"])
        answer = charge(provider)
        assert answer.outcome is Outcome.PENDING
        assert provider.find_charge("sub-1:2026-01-01") == answer
        assert simulator.captured("sub-1:2026-01-01") == []
        assert eventually(lambda: found(provider)).provider_id == answer.provider_id

    def test_a_failing_look_up_is_unknown_and_not_absent(self, provider, simulator):
        simulator.config(lookup_fail=1)
        assert provider.find_charge("nothing").outcome is Outcome.UNKNOWN

    def test_a_look_up_lags_when_told_to(self, provider, simulator):
        simulator.config(visibility_lag_s=0.5)
        charge(provider)
        assert provider.find_charge("sub-1:2026-01-01") is None
        eventually(lambda: found(provider))


class TestCards:
    @pytest.mark.parametrize(
        ("token", "code"),
        [
            ("tok_chargeDeclined", "card_declined"),
            ("4000000000000002", "card_declined"),
            ("tok_chargeDeclinedInsufficientFunds", "insufficient_funds"),
            ("4000000000009995", "insufficient_funds"),
            ("tok_chargeDeclinedExpiredCard", "expired_card"),
            ("4000000000000069", "expired_card"),
            ("4111111111111111", "incorrect_number"),
        ],
    )
    def test_a_refused_card_is_declined_with_a_code_and_a_sentence(self, provider, simulator, token, code):
        answer = charge(provider, token=token)
        assert (answer.outcome, answer.code) == (Outcome.DECLINED, code)
        assert answer.message.endswith(".")
        assert provider.find_charge("sub-1:2026-01-01") is None

    @pytest.mark.parametrize("token", ["tok_visa", "tok_mastercard", "4242424242424242", "5555555555554444"])
    def test_a_good_card_is_charged(self, provider, token):
        assert charge(provider, token=token).outcome is Outcome.SUCCEEDED

    def test_a_pending_card_is_pending(self, provider):
        assert charge(provider, token="tok_pending").outcome is Outcome.PENDING

    @pytest.mark.parametrize(
        ("token", "outcome"),
        [
            ("tok_refundFail", Outcome.DECLINED),
            ("4000000000005126", Outcome.DECLINED),
            ("tok_pendingRefund", Outcome.PENDING),
            ("4000000000007726", Outcome.PENDING),
        ],
    )
    def test_a_card_decides_how_its_refund_ends(self, provider, token, outcome):
        paid = charge(provider, token=token)
        refund = provider.refund(key="r", reference="r-1", charge_id=paid.provider_id, amount_minor=100)
        assert (paid.outcome, refund.outcome) == (Outcome.SUCCEEDED, outcome)


class TestRefundsAndVoids:
    def test_refunds_fit_into_the_charge_and_not_more(self, provider, simulator):
        paid = charge(provider)
        answers = [
            provider.refund(key=f"r-{amount}", reference=f"r-{amount}", charge_id=paid.provider_id, amount_minor=amount)
            for amount in (1000, 251, 250)
        ]
        assert [a.outcome for a in answers] == [Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.SUCCEEDED]
        assert answers[1].code == "amount_too_large"
        assert provider.find_refund("r-1000") == answers[0]
        assert provider.find_refund("r-251") is None
        assert set(simulator.ledger()["refunded"]) == {"r-1000", "r-250"}

    def test_a_void_gives_everything_back_once(self, provider, simulator):
        paid = charge(provider)
        voided = provider.void(key="v", reference="v-1", charge_id=paid.provider_id)
        assert (voided.outcome, voided.amount_minor) == (Outcome.SUCCEEDED, 1250)
        assert provider.find_void("v-1", paid.provider_id) == voided
        assert provider.void(key="v2", reference="v-2", charge_id=paid.provider_id).code == "not_voidable"
        refund = provider.refund(key="r", reference="r-1", charge_id=paid.provider_id, amount_minor=1)
        assert (refund.outcome, refund.code) == (Outcome.DECLINED, "not_refundable")
        assert list(simulator.ledger()["voided"]) == ["v-1"]

    def test_a_refunded_or_settled_charge_cannot_be_voided(self, provider, simulator):
        paid = charge(provider)
        provider.refund(key="r", reference="r-1", charge_id=paid.provider_id, amount_minor=1)
        simulator.config(settled_after_s=0)
        settled = charge(provider, "sub-2:2026-01-01")
        for one in (paid, settled):
            answer = provider.void(key=f"v-{one.provider_id}", reference="v-1", charge_id=one.provider_id)
            assert (answer.outcome, answer.code) == (Outcome.DECLINED, "not_voidable")
        assert provider.find_void("v-1", paid.provider_id) is None

    def test_an_unknown_charge_is_a_definite_no(self, provider):
        answer = provider.refund(key="r", reference="r-1", charge_id="ch_none", amount_minor=1)
        assert (answer.outcome, answer.code) == (Outcome.DECLINED, "resource_missing")

    @pytest.mark.parametrize("fault", ["drop_after", "err500_after", "slow", "late"])
    def test_an_unanswered_refund_or_void_is_found_by_its_reference(self, provider, simulator, fault):
        paid, other = charge(provider), charge(provider, "sub-2:2026-01-01")
        for reference in ("r-1", "v-1"):
            simulator.script(reference, [fault])
        refund = provider.refund(key="r", reference="r-1", charge_id=paid.provider_id, amount_minor=1250)
        void = provider.void(key="v", reference="v-1", charge_id=other.provider_id)
        assert (refund.outcome, void.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
        assert eventually(lambda: provider.find_refund("r-1")).outcome is Outcome.SUCCEEDED
        assert eventually(lambda: provider.find_void("v-1", other.provider_id)).outcome is Outcome.SUCCEEDED

    def test_a_void_of_another_charge_is_not_taken_for_this_one(self, provider):
        paid = charge(provider)
        provider.void(key="v", reference="v-1", charge_id=paid.provider_id)
        assert provider.find_void("v-1", "ch_other").outcome is Outcome.UNKNOWN


class TestNoProvider:
    def test_nobody_listening_means_not_sent(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            adapter = SimulatorProvider(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout_seconds=0.5)
            assert charge(adapter).outcome is Outcome.NOT_SENT
            assert adapter.find_charge("x").outcome is Outcome.UNKNOWN
            adapter.close()

    def test_a_provider_killed_while_it_works_is_unknown(self, tmp_path):
        with Simulator(tmp_path / "journal.jsonl", late_s=20) as simulator:
            adapter = SimulatorProvider(simulator.url, timeout_seconds=10)
            simulator.script("sub-1:2026-01-01", ["late"])
            timer = threading.Timer(0.5, simulator.kill)
            timer.start()
            assert charge(adapter, key="one").outcome is Outcome.UNKNOWN
            timer.join()
            assert charge(adapter, key="one").outcome is Outcome.NOT_SENT
            simulator.start()
            assert adapter.find_charge("sub-1:2026-01-01") is None
            assert charge(adapter, key="one").outcome is Outcome.SUCCEEDED
            assert simulator.captured("sub-1:2026-01-01") == [1250]
            adapter.close()

    def test_an_unknown_provider_is_refused_by_name(self):
        with pytest.raises(Conflict):
            provider_for("nobody", simulator_url="http://127.0.0.1:1", timeout_seconds=1)

    def test_the_same_settings_share_one_adapter(self):
        one = provider_for("simulator", simulator_url="http://127.0.0.1:1", timeout_seconds=1)
        assert one is provider_for("simulator", simulator_url="http://127.0.0.1:1", timeout_seconds=1)
        assert one.code == "simulator"

    def test_a_forked_process_does_not_share_connections(self, provider):
        charge(provider)
        before = provider._connections()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"other" if provider._connections() is not before else b"same")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 10) == b"other"
        os.close(reader)
        os.close(writer)


@contextmanager
def answering(raw: bytes, *, byte_delay: float = 0) -> Iterator[str]:
    """Serve one connection that is answered with exactly these bytes, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                try:
                    if byte_delay:
                        for index in range(len(raw)):
                            connection.sendall(raw[index : index + 1])
                            time.sleep(byte_delay)
                    else:
                        connection.sendall(raw)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def http(status: int, body: object) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(data)) + data


GOOD = {
    "id": "ch_1",
    "object": "charge",
    "status": "succeeded",
    "amount": 1250,
    "currency": "EUR",
    "reference": "sub-1:2026-01-01",
}


class TestStrangeAnswers:
    @pytest.mark.parametrize(
        ("_case", "raw", "outcome"),
        [
            ("as agreed", http(200, GOOD), Outcome.SUCCEEDED),
            ("wrong amount", http(200, {**GOOD, "amount": 1251}), Outcome.UNKNOWN),
            ("amount as text", http(200, {**GOOD, "amount": "1250"}), Outcome.UNKNOWN),
            ("amount as float", http(200, {**GOOD, "amount": 1250.0}), Outcome.UNKNOWN),
            ("other currency", http(200, {**GOOD, "currency": "JPY"}), Outcome.UNKNOWN),
            ("other reference", http(200, {**GOOD, "reference": "sub-2"}), Outcome.UNKNOWN),
            ("other object", http(200, {**GOOD, "object": "refund"}), Outcome.UNKNOWN),
            ("no id", http(200, {**GOOD, "id": None}), Outcome.UNKNOWN),
            ("failed with 200", http(200, {**GOOD, "status": "failed"}), Outcome.UNKNOWN),
            ("pending with 200", http(200, {**GOOD, "status": "pending"}), Outcome.PENDING),
            ("succeeded with 202", http(202, GOOD), Outcome.UNKNOWN),
            ("not JSON", http(200, b"<html>"), Outcome.UNKNOWN),
            ("JSON but no object", http(200, [1]), Outcome.UNKNOWN),
            ("deep JSON", http(200, b"[" * 50_000), Outcome.UNKNOWN),
            ("not UTF-8", http(200, b"\xff\xfe\xfa"), Outcome.UNKNOWN),
            ("empty", http(200, b""), Outcome.UNKNOWN),
            ("larger than anything", http(200, b" " * 2_000_000), Outcome.UNKNOWN),
            ("cut short", http(200, GOOD)[:-5], Outcome.UNKNOWN),
            ("closed at once", b"", Outcome.UNKNOWN),
            ("not HTTP", b"SSH-2.0-OpenSSH\r\n\r\n", Outcome.UNKNOWN),
            (
                "redirect",
                b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                Outcome.UNKNOWN,
            ),
            ("402 without a reason", http(402, b""), Outcome.DECLINED),
            ("400 of an unknown kind", http(400, {"error": {"code": "strange"}}), Outcome.UNKNOWN),
            ("400 key reused", http(400, {"error": {"code": "idempotency_key_reused"}}), Outcome.UNKNOWN),
            ("400 without JSON", http(400, b"no"), Outcome.UNKNOWN),
            ("401", http(401, {}), Outcome.UNKNOWN),
            ("409", http(409, {}), Outcome.UNKNOWN),
            ("429 without JSON", http(429, b""), Outcome.NOT_SENT),
            ("503", http(503, b"down"), Outcome.UNKNOWN),
        ],
    )
    def test_only_the_agreed_answer_is_a_success(self, _case, raw, outcome):
        with answering(raw) as url:
            adapter = SimulatorProvider(url, timeout_seconds=5)
            assert charge(adapter).outcome is outcome
            adapter.close()

    def test_a_body_that_trickles_in_does_not_outlast_the_time_out(self):
        started = time.monotonic()
        with answering(http(200, b" " * 100), byte_delay=0.02) as url:
            adapter = SimulatorProvider(url, timeout_seconds=1.5)
            assert charge(adapter).outcome is Outcome.UNKNOWN
            adapter.close()
            assert time.monotonic() - started < 3

    @pytest.mark.parametrize(
        ("_case", "raw", "expected"),
        [
            ("empty list", http(200, {"data": []}), None),
            ("one", http(200, {"data": [GOOD]}), Answer(Outcome.SUCCEEDED, "ch_1", 1250, unit="EUR")),
            ("no list", http(200, {}), Outcome.UNKNOWN),
            ("404", http(404, {"data": []}), Outcome.UNKNOWN),
            ("another reference", http(200, {"data": [{**GOOD, "reference": "sub-2"}]}), Outcome.UNKNOWN),
            ("junk beside a success", http(200, {"data": [GOOD, 7]}), Outcome.UNKNOWN),
        ],
    )
    def test_a_look_up_says_absent_only_when_the_provider_does(self, _case, raw, expected):
        with answering(raw) as url:
            adapter = SimulatorProvider(url, timeout_seconds=5)
            answer = adapter.find_charge("sub-1:2026-01-01")
            assert expected in (answer, answer and answer.outcome)
            adapter.close()

    def test_text_of_the_provider_arrives_short_and_printable(self):
        error = {"error": {"code": "card_declined", "message": "No.\x00\n\u202e" + "x" * 5000}}
        with answering(http(402, error)) as url:
            adapter = SimulatorProvider(url, timeout_seconds=5)
            message = charge(adapter).message
            adapter.close()
        assert message.startswith("No.xxx")
        assert len(message) == 200
