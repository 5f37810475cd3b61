"""SQL state: the engine, its sessions and one line of migrations.

The database is SQLite in the data folder, or PostgreSQL by URL.

Only this package opens SQL engines. It knows no feature; features declare their tables on `Base`.
"""

from hogline_instance.db.database import Database, json_value
from hogline_instance.db.many import fetch_rows, is_one_of
from hogline_instance.db.metadata import Base, aware, utc_now
from hogline_instance.db.texts import storable_text
from hogline_instance.db.upserts import upsert

__all__ = ["Base", "Database", "aware", "fetch_rows", "is_one_of", "json_value", "storable_text", "upsert", "utc_now"]
