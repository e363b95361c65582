"""Files that were imported: the fingerprint of what each one said, so that nothing is imported twice."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base
from payadmin.models.base import Audited, Row


class ImportFile(Row, Audited, Base):
    """A file whose payments were brought in. The same content under another name or format is the same file."""

    __tablename__ = "import_file"
    __table_args__ = (Index("ix_import_file_created_at_id", "created_at", "id"),)

    name: Mapped[str] = mapped_column(String(200), info={"label": "File", "search": True, "readonly": True})
    content_hash: Mapped[str] = mapped_column(String(64), unique=True, info={"label": "Fingerprint", "list": False})
    kind: Mapped[str] = mapped_column(String(8), info={"label": "Format", "readonly": True})
    layout: Mapped[str] = mapped_column(String(40), info={"label": "Layout", "readonly": True})
    rows: Mapped[int] = mapped_column(info={"label": "Rows", "readonly": True})
    payments: Mapped[int] = mapped_column(info={"label": "Payments", "readonly": True})
    refunds: Mapped[int] = mapped_column(info={"label": "Refunds", "readonly": True})
    left_out: Mapped[int] = mapped_column(info={"label": "Left out", "readonly": True})
    imported_by: Mapped[str] = mapped_column(String(100), info={"label": "Imported by", "readonly": True})

    def __str__(self) -> str:
        return self.name
