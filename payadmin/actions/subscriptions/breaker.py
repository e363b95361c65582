"""The breaker: workers tell each other through one row per provider that it is out, and try it one call at a time."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from payadmin.models.subscriptions import ProviderBreaker
from payadmin.work import Work

TRIPS_AT = 5
PAUSE_SECONDS = (1, 2, 4, 8, 10)


@dataclass(frozen=True)
class Pauses:
    """Providers that are not to be called now, and those that the caller alone may try with one call."""

    stopped: list[str]
    tried: list[str]


def paused(work: Work, now: dt.datetime, lease: dt.timedelta) -> Pauses:
    """Which providers have a pause.

    Only the caller that moves the row gets the try; the others see it paused for another lease.
    """
    rows = work.session.scalars(
        select(ProviderBreaker)
        .where(ProviderBreaker.open_until.is_not(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    pauses = Pauses([], [])
    for row in rows:
        if row.open_until is not None and row.open_until > now:
            pauses.stopped.append(row.provider)
        else:
            row.open_until = now + lease
            pauses.tried.append(row.provider)
    return pauses


def give_back(work: Work, pauses: Pauses, now: dt.datetime) -> None:
    """Let somebody else have the try: there was nothing to try the providers with."""
    rows = update(ProviderBreaker).where(ProviderBreaker.provider.in_(pauses.tried)).values(open_until=now)
    work.session.execute(rows.execution_options(synchronize_session=False))


def note_health(work: Work, now: dt.datetime, calls: Iterable[tuple[str, bool]]) -> None:
    """Count what calls came to. A provider that answers is sound at once; one that is silent is paused, ever longer."""
    verdicts: dict[str, list[bool]] = {}
    for provider, sound in calls:
        verdicts.setdefault(provider, []).append(sound)
    for provider, sounds in verdicts.items():
        row = work.session.get(ProviderBreaker, provider, populate_existing=True)
        if all(sounds) and (row is None or row.failures == 0):
            continue
        if row is None:
            know_provider(work, provider)
        row = work.session.get(ProviderBreaker, provider, populate_existing=True, with_for_update=True)
        assert row is not None
        if any(sounds):
            row.failures, row.open_until = 0, None
            continue
        row.failures += len(sounds)
        if row.failures >= TRIPS_AT:
            step = min(row.failures - TRIPS_AT, len(PAUSE_SECONDS) - 1)
            row.open_until = now + dt.timedelta(seconds=PAUSE_SECONDS[step])


def know_provider(work: Work, provider: str) -> None:
    """Write the row of a provider unless it is there."""
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = make(ProviderBreaker).values(provider=provider, failures=0).on_conflict_do_nothing()
    work.session.execute(statement.execution_options(synchronize_session=False))
