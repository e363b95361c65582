"""The simulator keeps the protocol: keys, journal, faults by seed, and no hostile body that upsets it."""

import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from payadmin.simulator import OpeningCharge, write_opening
from tests.support.simulator import Simulator

pytestmark = pytest.mark.once

CHARGE = {"amount": 1250, "currency": "EUR", "token": "tok_visa", "reference": "sub-1:2026-01-01", "metadata": {}}


@pytest.fixture
def http(simulator):
    with httpx.Client(base_url=simulator.url, timeout=10, trust_env=False) as client:
        yield client


def post(http, path="/v1/charges", key="one", **changes):
    return http.post(path, json={**CHARGE, **changes}, headers={"Idempotency-Key": key})


class TestKeys:
    def test_the_same_key_and_body_answers_what_it_answered(self, http, simulator):
        first, second = post(http), post(http)
        assert (first.status_code, first.json()) == (second.status_code, second.json())
        assert set(CHARGE) - {"token"} < set(first.json())
        assert simulator.stats()["requests"]["replayed"] == 1

    @pytest.mark.parametrize("changes", [{"amount": 1251}, {"reference": "other"}, {"metadata": {"a": "b"}}])
    def test_the_same_key_with_another_body_is_refused(self, http, simulator, changes):
        post(http)
        answer = post(http, **changes)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "idempotency_key_reused")
        assert simulator.captured(CHARGE["reference"]) == [1250]

    def test_a_key_is_one_key_for_charges_and_refunds(self, http):
        charge = post(http).json()["id"]
        refund = http.post(
            "/v1/refunds", json={"charge": charge, "amount": 1, "reference": "r"}, headers={"Idempotency-Key": "one"}
        )
        assert refund.json()["error"]["code"] == "idempotency_key_reused"

    def test_twenty_at_once_with_one_key_capture_once(self, simulator, http):
        simulator.config(latency_s=0.02)
        with ThreadPoolExecutor(20) as pool:
            statuses = Counter(answer.status_code for answer in pool.map(lambda _: post(http), range(20)))
        assert simulator.captured(CHARGE["reference"]) == [1250]
        assert statuses[200] >= 1
        assert set(statuses) <= {200, 409}

    def test_while_the_first_is_in_progress_the_second_is_told_so(self, simulator, http):
        simulator.script(CHARGE["reference"], ["late"])
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, http)
            time.sleep(0.4)
            second = post(http)
            assert (second.status_code, first.result().status_code) == (409, 200)
        assert simulator.captured(CHARGE["reference"]) == [1250]

    def test_a_refused_card_is_refused_again(self, http):
        first, second = (post(http, token="tok_chargeDeclined") for _ in range(2))
        assert first.status_code == second.status_code == 402
        assert first.json() == second.json()

    @pytest.mark.parametrize(("mode", "captures", "status"), [("strict", 1, 500), ("no5xx", 2, 200), ("none", 2, 200)])
    def test_the_mode_decides_what_becomes_of_a_500(self, simulator, http, mode, captures, status):
        simulator.config(idempotency=mode)
        simulator.script(CHARGE["reference"], ["err500_after"])
        assert post(http).status_code == 500
        assert post(http).status_code == status
        assert len(simulator.captured(CHARGE["reference"])) == captures

    def test_a_forgotten_key_charges_again(self, simulator, http):
        simulator.config(idem_ttl_s=0.2)
        post(http)
        time.sleep(0.3)
        post(http)
        assert len(simulator.captured(CHARGE["reference"])) == 2

    def test_without_a_key_every_request_counts(self, simulator, http):
        for _ in range(2):
            http.post("/v1/charges", json=CHARGE)
        assert len(simulator.captured(CHARGE["reference"])) == 2


class TestMoney:
    def test_twenty_refunds_at_once_never_exceed_the_charge(self, simulator, http):
        charge = post(http, amount=1000).json()["id"]

        def refund(number):
            body = {"charge": charge, "amount": 150, "reference": f"r-{number}"}
            return http.post("/v1/refunds", json=body, headers={"Idempotency-Key": f"r-{number}"}).status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = Counter(pool.map(refund, range(20)))
        assert statuses == {200: 6, 400: 14}
        assert http.get(f"/v1/charges/{charge}").json()["amount_refunded"] == 900

    def test_refund_and_void_at_once_give_back_once(self, simulator, http):
        for number in range(10):
            charge = post(http, key=f"c-{number}", reference=f"c-{number}").json()["id"]
            bodies = {
                "/v1/refunds": {"charge": charge, "amount": 1250, "reference": f"r-{number}"},
                "/v1/voids": {"charge": charge, "reference": f"v-{number}"},
            }
            with ThreadPoolExecutor(2) as pool:
                statuses = pool.map(lambda item: http.post(item[0], json=item[1]).status_code, bodies.items())
            assert sorted(statuses) == [200, 400]


class TestFaults:
    def test_the_same_seed_draws_the_same_faults_in_any_order(self, simulator, http):
        def statuses(order):
            simulator.reset()
            simulator.config(seed=7, err500_before=0.3, err429=0.2, decline=0.2)
            return {n: [post(http, key=f"{n}-{i}", reference=f"r-{n}").status_code for i in range(3)] for n in order}

        first = statuses(range(20))
        assert first == statuses(reversed(range(20)))
        assert {status for seen in first.values() for status in seen} == {200, 402, 429, 500}

    def test_a_script_is_followed_in_order_and_then_ends(self, simulator, http):
        simulator.script(CHARGE["reference"], ["err500_before", "ok", "err429"])
        assert [post(http, key=str(n)).status_code for n in range(4)] == [500, 200, 429, 200]

    def test_stats_count_every_kind_of_request(self, simulator, http):
        simulator.script(CHARGE["reference"], ["err429"])
        post(http)
        post(http)
        http.get("/v1/charges", params={"reference": CHARGE["reference"]})
        assert simulator.stats() == {
            "requests": {"charge": 2, "find_charge": 1},
            "faults": {"err429": 1},
            "posts_by_reference": {CHARGE["reference"]: 2},
        }

    @pytest.mark.parametrize(
        "changes",
        [
            {"drop_before": 1.5},
            {"drop_before": -0.1},
            {"drop_before": True},
            {"late": 0.6, "slow": 0.6},
            {"idempotency": "maybe"},
            {"idempotency": []},
            {"nonsense": 1},
            {"seed": "x"},
            {"slow_s": None},
        ],
    )
    def test_a_setting_that_makes_no_sense_changes_nothing(self, simulator, http, changes):
        before = simulator.config()
        assert http.post("/_ctl/config", json=changes).status_code == 400
        assert simulator.config() == before


class TestJournal:
    def test_a_killed_simulator_knows_everything_when_it_is_back(self, tmp_path):
        with Simulator(tmp_path / "var" / "journal.jsonl") as simulator:
            with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                paid = post(http).json()
                declined = post(http, key="two", token="tok_chargeDeclined")
                http.post("/v1/refunds", json={"charge": paid["id"], "amount": 250, "reference": "r-1"})
                http.post("/v1/refunds", json={"charge": paid["id"], "amount": 1001, "reference": "r-2"})
                ledger = simulator.ledger()
            simulator.kill()
            simulator.start()
            with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                assert simulator.ledger() == ledger
                assert post(http).json() == paid
                assert post(http, key="two", token="tok_chargeDeclined").json() == declined.json()
                too_much = http.post("/v1/refunds", json={"charge": paid["id"], "amount": 1001, "reference": "r-2"})
                assert too_much.json()["error"]["code"] == "amount_too_large"
                assert http.get(f"/v1/charges/{paid['id']}").json()["amount_refunded"] == 250
            assert simulator.captured(CHARGE["reference"]) == [1250]

    def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_kept(self, tmp_path):
        journal = tmp_path / "journal.jsonl"
        with Simulator(journal) as simulator:
            with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                post(http)
                simulator.kill()
            whole = journal.read_bytes()
            journal.write_bytes(whole + whole[: len(whole) // 2])
            simulator.start()
            assert simulator.captured(CHARGE["reference"]) == [1250]
            assert journal.read_bytes() == whole
            with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                post(http, key="two", reference="second")
            simulator.kill()
            simulator.start()
            assert simulator.captured("second") == [1250]

    def test_no_answered_charge_is_lost_by_a_kill_under_load(self, tmp_path):
        with Simulator(tmp_path / "journal.jsonl") as simulator:
            answered = []

            def work(thread):
                with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                    for number in range(10_000):
                        try:
                            answer = post(http, key=f"{thread}-{number}", reference=f"{thread}-{number}")
                        except httpx.HTTPError:
                            return
                        answered.append(answer.json()["reference"])

            with ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(work, thread) for thread in range(4)]
                time.sleep(0.7)
                simulator.kill()
                [job.result() for job in jobs]
            simulator.start()
            captured = simulator.ledger()["captured"]
            assert len(answered) > 20
            assert [reference for reference in answered if len(captured.get(reference, [])) != 1] == []

    def test_a_reset_forgets_for_good(self, tmp_path):
        with Simulator(tmp_path / "journal.jsonl") as simulator:
            with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                post(http)
            simulator.reset()
            simulator.kill()
            simulator.start()
            assert simulator.ledger() == {"captured": {}, "refunded": {}, "voided": {}, "pending": {}}

    def test_opening_charges_can_be_refunded(self, tmp_path):
        journal = tmp_path / "var" / "journal.jsonl"
        last_year = datetime(2025, 1, 31, 12, tzinfo=UTC)
        write_opening(journal, (OpeningCharge(f"ch_{n}", f"old-{n}", 100 + n, "EUR", last_year) for n in range(1201)))
        with Simulator(journal) as simulator, httpx.Client(base_url=simulator.url, trust_env=False) as http:
            assert len(simulator.ledger()["captured"]) == 1201
            assert http.get("/v1/charges/ch_7").json()["captured_at"] == "2025-01-31T12:00:00+00:00"
            refund = http.post("/v1/refunds", json={"charge": "ch_1200", "amount": 1300, "reference": "r"})
            void = http.post("/v1/voids", json={"charge": "ch_7", "reference": "v"})
            assert (refund.status_code, void.json()["error"]["code"]) == (200, "not_voidable")

    def test_no_card_number_reaches_the_journal(self, tmp_path):
        with Simulator(tmp_path / "journal.jsonl") as simulator:
            with httpx.Client(base_url=simulator.url, trust_env=False) as http:
                for number in ("4242424242424242", "4000000000000002", "4111111111111111"):
                    post(http, key=number[-6:] + number[:3], token=number)
            written = (tmp_path / "journal.jsonl").read_text()
        assert written.count("\n") == 3
        assert not [n for n in ("4242424242424242", "4000000000000002", "4111111111111111") if n in written]


BAD_AMOUNTS = [0, -1, 12.5, 1250.0, "1250", True, None, [], 10**15 + 1, 10**400, float("1e300")]
BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"amount": NaN}',
    b'{"amount": Infinity}',
    b'{"amount": ' + b"9" * 6_000 + b"}",
    *(json.dumps({k: v for k, v in CHARGE.items() if k != name}).encode() for name in CHARGE if name != "metadata"),
    *(json.dumps({**CHARGE, "amount": amount}).encode() for amount in BAD_AMOUNTS),
    *(json.dumps({**CHARGE, "reference": text}).encode() for text in ("", "a\nb", "\x00", "é", "\ud800", "x" * 201, 7)),
    *(json.dumps({**CHARGE, "currency": text}).encode() for text in ("", "eur", "E", "EURO€", None, "X" * 50)),
    *(json.dumps({**CHARGE, "metadata": data}).encode() for data in ([], "x", 1, {"a": {}}, {"a": 1.5})),
    json.dumps({**CHARGE, "capture": False}).encode(),
]


class TestHostileRequests:
    @pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
    def test_a_body_that_makes_no_sense_is_a_400_and_moves_nothing(self, simulator, http, body):
        for path in ("/v1/charges", "/v1/refunds", "/v1/voids"):
            answer = http.post(path, content=body)
            assert (answer.status_code, list(answer.json())) == (400, ["error"])
        assert simulator.ledger()["captured"] == {}

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"reference": 1, "faults": []}', b'{"reference": "a"}', b"\xff"])
    def test_a_control_request_that_makes_no_sense_is_a_400(self, http, body):
        assert http.post("/_ctl/script", content=body).status_code == 400
        assert http.post("/_ctl/script", json={"reference": "a", "faults": ["no such fault"]}).status_code == 400

    @pytest.mark.parametrize("headers", [{"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 256}])
    def test_a_key_must_have_a_sensible_length(self, http, headers):
        assert http.post("/v1/charges", json=CHARGE, headers=headers).status_code == 400

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            ("Content-Length: -1", 400),
            ("Content-Length: ten", 400),
            ("Content-Length: 99999999999999999999", 400),
            ("Content-Length: 70000", 400),
            ("Content-Length: \u0663", 400),
            ("Transfer-Encoding: chunked", 400),
            ("Content-Length: 0\r\nOrigin: https://evil.example", 403),
        ],
    )
    def test_a_hostile_head_is_refused_and_the_connection_closed(self, simulator, head, status):
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as connection:
            connection.sendall(f"POST /_ctl/reset HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        assert received.startswith(f"HTTP/1.1 {status} ".encode())

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/charges",
            "/v1/charges?reference=",
            "/v1/charges?reference=a&reference=b",
            "/v1/charges?reference=%00",
            "/v1/charges?" + "a=1&" * 50,
        ],
    )
    def test_a_look_up_names_one_reference(self, http, path):
        assert http.get(path).status_code == 400

    @pytest.mark.parametrize("path", ["/", "/v1/charges/ch_none", "/v1/customers", "/_ctl/none", "/v1/charges/a/b"])
    def test_an_unknown_address_is_a_404(self, http, path):
        assert http.get(path).status_code == 404

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    def test_an_unknown_method_is_a_405(self, http, method):
        assert http.request(method, "/v1/charges").status_code == 405

    def test_one_connection_serves_many_requests(self, simulator):
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as connection:
            for _ in range(3):
                connection.sendall(b"GET /_ctl/config HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
