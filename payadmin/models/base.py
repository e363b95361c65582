"""What every row has, and the marks that the audit guard and the pages read."""

import datetime as dt
from typing import Any, ClassVar

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from payadmin.db import BigId, UtcDateTime, utcnow


class Row:
    """Identity, times and the version that edit forms compare (a stale save is refused, not merged)."""

    id: Mapped[int] = mapped_column(BigId, primary_key=True, info={"label": "No."})
    created_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime, default=utcnow, info={"label": "Created", "readonly": True}, sort_order=900
    )
    updated_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime,
        default=utcnow,
        onupdate=utcnow,
        info={"label": "Last change", "readonly": True, "list": False},
        sort_order=901,
    )
    version: Mapped[int] = mapped_column(default=1, info={"readonly": True, "list": False}, sort_order=902)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__dict__.get("version") or cls.version}


class Audited:
    """Marks rows that may change only with a sentence in the audit trail (`payadmin.audit`)."""

    __audited__: ClassVar[bool] = True


def minor_column(label: str, *, unit: str = "unit", **options: Any) -> Any:
    """An amount in minor units of the currency named by the attribute `unit`.

    Args:
        label: what screens call it.
        unit: the attribute of the same row that holds the unit's code.
        options: passed on to `mapped_column`.
    """
    info = {"label": label, "money": unit, "readonly": True} | options.pop("info", {})
    return mapped_column(BigInteger, info=info, **options)
