"""The table by which a batch's transaction is committed only once."""

from datetime import datetime

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base

__all__ = ["PipelineBatchRow"]


class PipelineBatchRow(Base):
    """The last batch of each journal whose steps are committed.

    Each process, and so each node, has one journal.
    """

    __tablename__ = "pipeline_batches"

    journal_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    committed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
