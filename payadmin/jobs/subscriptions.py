"""Recurring charges: workers claim, call and book what is due; the tick plans. The database is the truth."""

import datetime as dt
import logging
import threading
import time
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from flask import Flask, current_app
from sqlalchemy.exc import OperationalError

from payadmin import outbox
from payadmin.actions.subscriptions import attempts, charging, planning, reconciliation, reminders
from payadmin.actions.subscriptions.charging import ChargeClaim, Report, Turn
from payadmin.db import db, utcnow
from payadmin.jobs import Later, job
from payadmin.kernel.errors import NotFound
from payadmin.models.subscriptions import DeliveryState, Purpose, WebhookDelivery, WebhookEndpoint
from payadmin.providers import CONNECTED, Answer, Outcome, Provider, provider_for
from payadmin.providers.webhooks import send_webhook
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

log = logging.getLogger(__name__)

# A claim lasts longer than a call may take (each of its steps has the time-out), so a live worker keeps its claim.
LEASE_TIMEOUTS = 4
# A claim older than this is renewed before it is sent; one that follows its claim at once need not be.
HOLD_AFTER_SECONDS = 0.5
# Claims in hand for each thread: one in the call and one behind it, so that no thread waits while answers are booked.
CLAIMS_A_THREAD = 2
LOOK_AGAIN_SECONDS = 0.5
WEBHOOK_WAIT_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400)


def keep_plans(zone: ZoneInfo) -> None:
    """What every tick does: end what has expired, plan the next weeks, settle dates that are not to run."""
    while planning.expire_some(SYSTEM, zone=zone):
        pass
    while planning.plan_some(SYSTEM, zone=zone):
        pass
    while planning.sweep_dates(SYSTEM, zone=zone) >= planning.SWEEP_AT_ONCE:
        pass


def drain_charges(app: Flask, *, until: float, stop: threading.Event) -> int:
    """Make every charge that is due, several at a time, and find out about every one whose outcome is unknown.

    One thread talks to the database, the others to providers: what comes back together is booked together.

    Args:
        until: the moment of `time.monotonic()` after which nothing more is claimed.
        stop: set it to claim nothing more and return once what is in hand is booked.

    Returns:
        How many answers were booked.
    """
    with app.app_context():
        return ChargeCounter(current_app.extensions["payadmin.settings"]).work(until, stop)


class ChargeCounter:
    """A worker's counter: as many calls at a time as it has threads, and the next ones claimed already."""

    def __init__(self, settings: "Settings") -> None:
        self.zone = settings.zone
        self.threads = settings.worker_threads
        self.timeout_seconds = settings.provider_timeout_seconds
        self.lease = dt.timedelta(seconds=LEASE_TIMEOUTS * settings.provider_timeout_seconds)
        self.providers: dict[str, Provider] = {
            code: provider_for(
                code, simulator_url=settings.simulator_url, timeout_seconds=settings.provider_timeout_seconds
            )
            for code in CONNECTED
        }
        self.key_windows = {code: provider.capabilities.key_window for code, provider in self.providers.items()}

    def work(self, until: float, stop: threading.Event) -> int:
        done, running = 0, dict[Future[Answer | None], ChargeClaim]()
        with ThreadPoolExecutor(max_workers=self.threads, thread_name_prefix="charge") as pool:
            while True:
                free = self.threads * CLAIMS_A_THREAD - len(running)
                if free and time.monotonic() < until and not stop.is_set():
                    for claim in self.claim(free):
                        running[pool.submit(self.call, claim, time.monotonic())] = claim
                if not running:
                    return done
                finished, _ = wait(running, timeout=LOOK_AGAIN_SECONDS, return_when=FIRST_COMPLETED)
                if finished:
                    self.book([Report(running.pop(future), future.result()) for future in finished])
                    done += len(finished)

    def claim(self, free: int) -> list[ChargeClaim]:
        """Up to `free` attempts that are ours to call about now."""
        started = time.monotonic()
        claims = charging.claim_charges(SYSTEM, limit=free, lease=self.lease, key_windows=self.key_windows)
        if len(claims) < free and attempts.enqueue_due(SYSTEM, zone=self.zone):
            claims += charging.claim_charges(
                SYSTEM, limit=free - len(claims), lease=self.lease, key_windows=self.key_windows
            )
        if time.monotonic() - started < HOLD_AFTER_SECONDS:
            return claims
        send = [claim for claim in claims if claim.turn is Turn.SEND]
        held = charging.hold_charges(SYSTEM, claims=send, lease=self.lease) if send else set()
        return [claim for claim in claims if claim.turn is Turn.ASK or claim.attempt_id in held]

    def call(self, claim: ChargeClaim, claimed: float) -> Answer | None:
        """Talk to the provider; runs in a thread and touches no database."""
        provider = self.providers.get(claim.provider)
        if provider is None and claim.turn is Turn.ASK:
            # It may have been sent while there was a connection, so nobody can say that no money moved.
            return Answer(Outcome.UNKNOWN, code="not_connected")
        if provider is None:
            return Answer(Outcome.DECLINED, code="not_connected", message="payadmin has no connection to the provider.")
        if claim.turn is Turn.ASK:
            return provider.find_charge(claim.reference)
        if claim.purpose is not Purpose.RECURRING:
            msg = f"attempt {claim.attempt_id} belongs to a reminder, which never charges"
            raise RuntimeError(msg)
        if time.monotonic() - claimed > self.lease.total_seconds() / 2:
            # This process was frozen between claim and call: the claim may be over, so nothing is sent under it.
            return Answer(Outcome.NOT_SENT, code="claim_too_old", message="The worker was too slow to send it.")
        return provider.charge(
            key=claim.provider_key,
            reference=claim.reference,
            amount_minor=claim.amount_minor,
            unit=claim.unit,
            token=claim.card_token,
            metadata={"ordered_by": claim.ordered_by},
        )

    def book(self, reports: list[Report]) -> None:
        by_provider = defaultdict[str, list[Report]](list)
        for report in reports:
            by_provider[report.claim.provider].append(report)
        for code, found in by_provider.items():
            try:
                self._book(code, found)
            except OperationalError:
                raise  # the database is away: the claims run out, and the provider is asked what happened
            except Exception:
                log.exception("%s answers could not be booked together", len(found))
                for report in found:
                    self._book_alone(code, report)

    def _book(self, code: str, reports: list[Report]) -> None:
        provider = self.providers.get(code)
        window = self.key_windows.get(code, dt.timedelta())
        settle = provider.capabilities.settle if provider else dt.timedelta()
        quiet = quiet_after(window, settle, lease=self.lease, timeout=dt.timedelta(seconds=self.timeout_seconds))
        charging.book_charges(SYSTEM, reports=reports, key_window=window, quiet=quiet)

    def _book_alone(self, code: str, report: Report) -> None:
        try:
            self._book(code, [report])
        except OperationalError:
            raise
        except Exception:
            # One charge that cannot be booked must not keep the others; its claim runs out and it is asked about.
            log.exception("the answer about attempt %s could not be booked", report.claim.attempt_id)


def quiet_after(
    key_window: dt.timedelta, settle: dt.timedelta, *, lease: dt.timedelta, timeout: dt.timedelta
) -> dt.timedelta:
    """How long after the claim that sent a charge a provider's "no such charge" is believed.

    The claim is what the attempt remembers; the call begins within half its lease. It may need a time-out each to get a
    connection, to open it and to send, so the last byte leaves at lease / 2 + 3 time-outs: a time-out after the lease.
    A provider that honours keys may be believed earlier, because the same key never charges twice.

    Args:
        key_window: how long the provider remembers keys; zero where it honours none.
        settle: how long after the last send its own look-up is final.
    """
    return settle + timeout + (dt.timedelta() if key_window else lease)


def reconcile_days(settings: "Settings") -> None:
    """Compare every past day that was not compared yet with every provider.

    Any number of schedulers may do it, and one that was down at midnight or met a silent provider does it later. The
    last charges of a day are given an hour to be booked.
    """
    now = outbox.database_now(db.session()).astimezone(settings.zone)
    db.session.rollback()
    if now.hour < 1:
        return
    for code in sorted(CONNECTED):
        yesterday = now.date() - dt.timedelta(days=1)
        for day in reconciliation.days_to_reconcile(SYSTEM, provider=code, yesterday=yesterday):
            start = dt.datetime.combine(day, dt.time(), settings.zone)
            if reconcile_provider(settings, code, start=start, end=start + dt.timedelta(days=1), day=day) is None:
                break


def reconcile_provider(
    settings: "Settings", code: str, *, start: dt.datetime, end: dt.datetime, day: dt.date | None = None
) -> list[reconciliation.Finding] | None:
    """Compare what one provider captured in a time with ours; None when it did not answer."""
    provider = provider_for(
        code, simulator_url=settings.simulator_url, timeout_seconds=settings.provider_timeout_seconds
    )
    margin = dt.timedelta(days=1)
    listed = provider.list_charges(start - margin, end + margin)
    if listed is None:
        log.warning("%s did not list its charges; run `payadmin reconcile`", code)
        return None
    return reconciliation.reconcile(SYSTEM, provider=code, start=start, end=end, listed=listed, day=day)


@job("deliver_webhook")
def deliver_webhook(*, delivery_id: int) -> Later | None:
    """Post one message to its endpoint and book what came of it; a message that is delivered is not sent again."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    delivery = db.session.get(WebhookDelivery, delivery_id, populate_existing=True)
    if delivery is None:
        raise NotFound("There is no such message.")
    endpoint = db.session.get_one(WebhookEndpoint, delivery.endpoint_id)
    is_due, tries, content = delivery.state is DeliveryState.DUE, delivery.tries, delivery.payload
    is_enabled = endpoint.enabled
    url, secret = endpoint.url, reminders.secret_of(endpoint, settings.totp_keys)
    # Nothing is held open while the endpoint thinks.
    db.session.rollback()
    if not is_due:
        return None
    if not is_enabled:
        reminders.book_delivery(SYSTEM, delivery_id, state=DeliveryState.FAILED, answer=reminders.SWITCHED_OFF)
        return None
    receipt = send_webhook(
        url,
        content,
        secret=secret,
        message_id=f"msg_{delivery_id}",
        timestamp=int(utcnow().timestamp()),
        allow_private=settings.webhook_private_addresses,
    )
    if receipt.is_delivered or tries >= len(WEBHOOK_WAIT_SECONDS):
        state = DeliveryState.DELIVERED if receipt.is_delivered else DeliveryState.FAILED
        reminders.book_delivery(SYSTEM, delivery_id, state=state, answer=receipt.answer)
        return None
    wait = dt.timedelta(seconds=WEBHOOK_WAIT_SECONDS[tries])
    reminders.book_delivery(SYSTEM, delivery_id, state=DeliveryState.DUE, answer=receipt.answer, wait=wait)
    return Later(WEBHOOK_WAIT_SECONDS[tries])
