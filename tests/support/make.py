"""Factories: rows as a test needs them, written straight into the database, and browsers signed in as a role."""

import datetime as dt
import hashlib
import itertools
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from payadmin.approvals import RULES
from payadmin.db import db, utcnow
from payadmin.kernel import payloads
from payadmin.models.api import ApiKey
from payadmin.models.approvals import ApprovalPolicy, ApprovalRequest
from payadmin.models.checkout import CheckoutRule, CheckoutRuleset
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import (
    Channel,
    Mode,
    Note,
    Payment,
    PaymentMethod,
    PaymentStatus,
    PaymentType,
    Unit,
)
from payadmin.models.registrations import RegistrationLink
from payadmin.models.risk import Block, BlockReason, BlockTarget
from payadmin.models.subscriptions import (
    ChargeAttempt,
    Purpose,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    WebhookEndpoint,
)
from payadmin.models.usage import ClientService, UsageDaily
from payadmin.permissions import ApiScope, Permission, Role, permissions_of
from payadmin.work import Actor

SCALES = {"EUR": 2, "GBP": 2, "USD": 2, "JPY": 0, "KWD": 3}


def writing() -> None:
    """Begin to write: on SQLite a transaction that has read cannot, once another process has written meanwhile."""
    db.session.rollback()
    db.session.connection(execution_options={"immediate": True})


class Make:
    """Makes rows. Everything has a sensible default; a test names only what it is about."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._number = itertools.count(1)

    def _save(self, row: Any) -> Any:
        writing()
        db.session.add(row)
        # Arrangements are not acts: the trail is told so, and nothing is recorded.
        db.session.flush()
        db.session.info.pop("payadmin.changed", None)
        db.session.commit()
        return row

    def _known(self, model: Any, **by: Any) -> Any:
        return db.session.query(model).filter_by(**by).one_or_none()

    def unit(self, code: str = "EUR") -> Unit:
        return self._known(Unit, code=code) or self._save(Unit(code=code, name=code, scale=SCALES[code]))

    def method(self, code: str = "card") -> PaymentMethod:
        return self._known(PaymentMethod, code=code) or self._save(PaymentMethod(code=code, name=code.title()))

    def organization(self, name: str = "Corner Shop", **values: Any) -> Organization:
        return self._known(Organization, name=name) or self._save(
            Organization(**{"name": name, "kind": OrganizationKind.MERCHANT} | values)
        )

    def customer(self, **values: Any) -> Customer:
        number = next(self._number)
        return self._save(
            Customer(
                **{
                    "external_id": f"C-{number:06}",
                    "name": f"Customer {number}",
                    "email": f"customer{number}@example.com",
                    "phone": f"+39333{number:07}",
                }
                | values
            )
        )

    def subscription(self, **values: Any) -> Subscription:
        number = next(self._number)
        unit = self.unit(values.pop("unit", "EUR")).code
        return self._save(
            Subscription(
                **{
                    "subscription_id": f"S-{number:06}",
                    "billing_number": f"B-{number:06}",
                    "customer_id": values.pop("customer_id", None) or self.customer().id,
                    "merchant_id": self.organization().id,
                    "amount_minor": 10_00,
                    "unit": unit,
                    "method": self.method().code,
                    "provider": "simulator",
                    "status": SubscriptionStatus.ACTIVE,
                    "start_date": dt.date(2026, 1, 1),
                    "card_token": "tok_visa",
                    "card_last4": "4242",
                }
                | values
            )
        )

    def scheduled_charge(self, subscription: Subscription | None = None, **values: Any) -> ScheduledCharge:
        """A charge of 10.00 EUR that falls due today unless told otherwise."""
        subscription = subscription or self.subscription()
        number = next(self._number)
        return self._save(
            ScheduledCharge(
                **{
                    "subscription_id": subscription.id,
                    "due_date": utcnow().date(),
                    "invoice_number": f"R-{number:06}",
                    "amount_minor": subscription.amount_minor,
                    "unit": subscription.unit,
                }
                | values
            )
        )

    def registration_link(self, **values: Any) -> RegistrationLink:
        """An invitation that is open for a week."""
        number = next(self._number)
        nonce = f"nonce-{number:016}"
        return self._save(
            RegistrationLink(
                **{
                    "merchant_id": self.organization().id,
                    "customer_id": self.customer().id,
                    "billing_number": f"L-{number:06}",
                    "amount_minor": 10_00,
                    "unit": self.unit().code,
                    "method": self.method().code,
                    "provider": "simulator",
                    "purpose": Purpose.RECURRING,
                    "schedule": {"schedule_kind": "DATE", "schedule_days": [1], "schedule_months": [1]},
                    "start_date": dt.date(2026, 1, 1),
                    "expires_at": utcnow() + dt.timedelta(days=7),
                    "nonce": nonce,
                    "token_hash": hashlib.sha256(nonce.encode()).hexdigest(),
                    "invited_by": "operator",
                }
                | values
            )
        )

    def api_key(self, **values: Any) -> ApiKey:
        """A key that works for a month and may report usage."""
        from tests.support.programs import make_program

        return db.session.get_one(ApiKey, make_program(self.app, self, ApiScope.USAGE_WRITE, **values).key_id)

    def client_service(self, **values: Any) -> ClientService:
        """An active service of Corner Shop that nobody else issues."""
        number = next(self._number)
        owner = values.pop("organization_id", None) or self.organization().id
        return self._save(
            ClientService(**{"code": f"CS-{number:03}", "name": f"Service {number}", "organization_id": owner} | values)
        )

    def usage_daily(self, service: ClientService | None = None, **values: Any) -> UsageDaily:
        """Ten operations of a service on 2026-01-31."""
        service = service or self.client_service()
        given = {"operation": "verify", "day": dt.date(2026, 1, 31), "source": "api", "operations": 10} | values
        return self._save(UsageDaily(client_service_id=service.id, **given))

    def webhook_endpoint(self) -> WebhookEndpoint:
        merchant = self.organization().id
        return self._known(WebhookEndpoint, merchant_id=merchant) or self._save(
            WebhookEndpoint(merchant_id=merchant, url="https://shop.example/hook")
        )

    def charge_attempt(self, charge: ScheduledCharge | None = None, **values: Any) -> ChargeAttempt:
        """The first attempt to make a charge, due now."""
        charge = charge or self.scheduled_charge()
        number = next(self._number)
        return self._save(
            ChargeAttempt(
                **{
                    "scheduled_charge_id": charge.id,
                    "seq": 1,
                    "provider": "simulator",
                    "provider_key": f"key-{number:06}",
                    "reference": charge.invoice_number,
                }
                | values
            )
        )

    def payment(self, **values: Any) -> Payment:
        """A paid payment of 100.00 EUR unless told otherwise; `status` decides what was captured."""
        number = next(self._number)
        unit = self.unit(values.pop("unit", "EUR")).code
        method = self.method(values.pop("method", "card")).code
        status = values.get("status", PaymentStatus.PAID)
        amount = values.get("amount_minor", 100_00)
        taken = status in {
            PaymentStatus.PAID,
            PaymentStatus.PARTIALLY_REFUNDED,
            PaymentStatus.TOTALLY_REFUNDED,
            PaymentStatus.CHARGED_BACK,
        }
        return self._save(
            Payment(
                **{
                    "transaction_id": f"T-{number:06}",
                    "invoice_number": f"I-{number:06}",
                    "merchant_id": values.pop("merchant_id", None) or self.organization().id,
                    "customer_id": values.pop("customer_id", None) or self.customer().id,
                    "type": PaymentType.DIRECT,
                    "channel": Channel.WEB,
                    "provider": "simulator",
                    "amount_minor": amount,
                    "unit": unit,
                    "method": method,
                    "status": status,
                    "captured_minor": amount if taken else 0,
                    "mode": Mode.LIVE,
                    "created_at": utcnow() - dt.timedelta(hours=1),
                }
                | values
            )
        )

    def note(self) -> Note:
        """A note on a payment."""
        note: Note = self._save(Note(payment_id=self.payment().id, body="Called back.", author="operator"))
        return note

    def checkout_rule(self, **values: Any) -> CheckoutRule:
        """A rule of a new draft: whoever pays on the web may pay by card."""
        draft = values.pop("ruleset_id", None) or self._save(CheckoutRuleset()).id
        condition = {"key": "channel", "operator": "equal", "value": "WEB"}
        given = {"name": "web", "priority": 10, "conditions": [condition], "methods": [], "ruleset_id": draft}
        return self._save(CheckoutRule(**given | values))

    def block(self, **values: Any) -> Block:
        """A customer who is blocked: written straight into the table, so their status does not say it."""
        usual = {
            "target": BlockTarget.CUSTOMER,
            "reason_code": BlockReason.OTHER,
            "note": "Looks wrong",
            "blocked_by": "somebody",
        }
        if "target" not in values:
            usual["customer_id"] = self.customer().id
        return self._save(Block(**(usual | values)))

    def approval_policy(
        self, rule: str = "refund", threshold_minor: int | None = 50_00, **values: Any
    ) -> ApprovalPolicy:
        """A policy that is on: refunds of 50.00 EUR and more need a second person, unless told otherwise."""
        unit = self.unit(values.pop("unit", "EUR")).code if RULES[rule].measured else None
        given = {"threshold_minor": threshold_minor if unit else None} | values
        return self._known(ApprovalPolicy, rule=rule, unit=unit) or self._save(
            ApprovalPolicy(rule=rule, unit=unit, **given)
        )

    def approval_request(self, **values: Any) -> ApprovalRequest:
        """A request that waits: to switch off the policy about retry policies."""
        from tests.support.signin import make_staff

        number = next(self._number)
        writing()
        maker = values.pop("maker", None) or make_staff(Role.ADMIN)
        payload = {"rule": "retry_policy", "unit": None, "threshold_minor": None, "is_on": False, "expires_hours": 72}
        payload |= {"policy_id": None, "version": None}
        return self._save(
            ApprovalRequest(
                **{
                    "kind": "policy",
                    "title": f"Switch off policy {number}",
                    "use_case": "approvals.save_policy",
                    "payload": payload,
                    "payload_hash": payloads.digest("approvals.save_policy", payload),
                    "target_table": "approval_policy",
                    "target_key": f"approval_policy:new:{number}",
                    "maker_id": maker.id,
                    "maker_person_id": maker.person,
                    "maker_name": maker.username,
                    "expires_at": utcnow() + dt.timedelta(hours=72),
                }
                | values
            )
        )

    def actor(self, role: Role = Role.PAYMENTS_OPERATOR, *, name: str = "operator") -> Actor:
        """An actor with the rights of `role`, without an account (for calling use cases directly)."""
        return Actor(staff_id=None, name=name, roles=frozenset({role}), permissions=permissions_of({role}))

    def actor_without(self, permission: Permission) -> Actor:
        """An actor who may do everything but one thing."""
        return Actor(staff_id=None, name="nobody", permissions=frozenset(Permission) - {permission})

    def browse(self, *roles: Role, **values: Any) -> FlaskClient:
        """A client signed in as a new, active member of staff with `roles`."""
        from tests.support.signin import sign_in

        return sign_in(self.app, *(roles or (Role.PAYMENTS_OPERATOR,)), **values)
