"""Second factors inside a transaction: enrolment and recovery codes. Spending a code is `payadmin.step_up`'s."""

from sqlalchemy import select, update

from payadmin import step_up
from payadmin.kernel import totp
from payadmin.models.access import RecoveryCode, SecondFactor, StaffUser
from payadmin.work import Work

RECOVERY_CODES = 10


def factor_of(work: Work, staff: StaffUser) -> SecondFactor:
    """The row that holds the person's authenticator; made if there is none yet."""
    found = work.session.scalar(select(SecondFactor).where(SecondFactor.staff_id == staff.id))
    return found or work.add(SecondFactor(staff_id=staff.id))


def offer_secret(factor: SecondFactor) -> None:
    """Put a fresh secret aside for enrolment, unless one is waiting already."""
    if factor.sealed_pending is None:
        factor.sealed_pending = step_up.seal(factor.staff_id, totp.new_secret())


def confirm_pending(work: Work, factor: SecondFactor, code: str) -> bool:
    """Make the pending secret the working one if `code` proves that its owner has it."""
    waiting = factor.sealed_pending
    if waiting is None:
        return False
    step = totp.step_of(step_up.unseal(factor.staff_id, waiting), code, work.now)
    if step is None:
        return False
    return step_up.move_factor(
        work,
        factor,
        SecondFactor.sealed_pending == waiting,
        sealed=waiting,
        sealed_pending=None,
        confirmed_at=work.now,
        last_step=step,
    )


def reseal(factor: SecondFactor) -> None:
    """Encrypt with the first key what an older key still protects, so that the older one can be dropped some day."""
    if factor.sealed is not None and (fresh := step_up.resealed(factor.staff_id, factor.sealed)):
        factor.sealed = fresh


def spend_recovery_code(work: Work, staff: StaffUser, code: str) -> bool:
    """Accept one of the person's recovery codes, once."""
    statement = (
        update(RecoveryCode)
        .where(
            RecoveryCode.staff_id == staff.id,
            RecoveryCode.code_hash == totp.recovery_hash(staff.id, code),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=work.now)
        .execution_options(synchronize_session=False)
    )
    return bool(work.session.execute(statement).rowcount == 1)  # type: ignore[attr-defined]


def drop_recovery_codes(work: Work, staff_id: int) -> None:
    """Let every recovery code of a person die."""
    for old in work.session.scalars(select(RecoveryCode).where(RecoveryCode.staff_id == staff_id)):
        work.session.delete(old)


def new_recovery_codes(work: Work, staff: StaffUser) -> tuple[str, ...]:
    """Ten fresh codes, shown this once; every earlier one dies."""
    drop_recovery_codes(work, staff.id)
    codes = tuple(totp.new_recovery_code() for _ in range(RECOVERY_CODES))
    for code in codes:
        work.add(RecoveryCode(staff_id=staff.id, code_hash=totp.recovery_hash(staff.id, code)))
    return codes
