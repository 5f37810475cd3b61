"""The table that makes a batch's transaction happen once."""

from datetime import datetime

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base

__all__ = ["PipelineBatchRow"]


class PipelineBatchRow(Base):
    """The last batch of each journal whose steps are committed.

    A process has one journal, and so has a node.
    """

    __tablename__ = "pipeline_batches"

    journal_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    committed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
