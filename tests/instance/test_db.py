"""The SQL database: migrations run once, after a backup, and never by an older version."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, column, create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError

import hogline_instance.startup  # loads the tables of every feature
from hogline_instance.db import Base, Database, fetch_rows
from hogline_instance.exceptions import SettingsError
from hogline_instance.projects.tables import ProjectRow

OF_ONE_NAME = select(ProjectRow.__table__.c.id).where(ProjectRow.__table__.c.name == bindparam("name"))
OPEN = """
import sys, pathlib
from hogline_instance.db import Database
from hogline_instance.projects import Projects
database = Database(sys.argv[1])
sys.stdin.readline()
database.migrate()
projects = Projects(database, secrets_dir=pathlib.Path(sys.argv[2]), max_age_s=1)
print(projects.current().token)
"""


@pytest.fixture
def opened(database_url):
    database = Database(database_url)
    yield database
    database.close()


def test_the_migrations_make_the_tables_that_the_features_declare(opened, database_url):
    """Neither the migrations nor the declarations lack a table or column."""
    assert hogline_instance.startup
    opened.migrate()
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_processes_that_start_at_once_migrate_once_and_make_one_project(database_url, tmp_path):
    """Four processes that start at the same moment end with the same token."""
    command = [sys.executable, "-c", OPEN, database_url, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert len({out for out, _ in results}) == 1


def test_a_transaction_that_fails_leaves_nothing(opened):
    """A row that was flushed before the failure is rolled back too."""
    opened.migrate()
    with pytest.raises(ZeroDivisionError), opened.transaction() as session:
        session.execute(text("INSERT INTO projects (name, token, created_at) VALUES ('x', 'phc_x', '2026-01-01')"))
        raise ZeroDivisionError
    with opened.session() as session:
        assert session.scalar(text("SELECT count(*) FROM projects")) == 0


def go_back_to(file, revision):
    """Undo the migrations of a SQLite *file* after *revision*."""
    config = Config()
    config.set_main_option("script_location", "hogline_instance.db:migrations")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()


def test_sqlite_is_copied_before_its_tables_change(tmp_path):
    """The copy includes the write-ahead log; a new or current database is not copied."""
    path = tmp_path / "projects.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO projects (name, token, created_at) VALUES ('kept', 'phc_kept', '2026-01-01')")
        )
    go_back_to(database.file, "0001")
    assert not list(tmp_path.glob("*.backup-*"))
    database.migrate()
    database.migrate()
    database.close()
    [backup] = tmp_path.glob("*.backup-*")
    assert backup.name == "projects.sqlite3.backup-0001"
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT token FROM projects").fetchall() == [("phc_kept",)]


def test_a_database_of_a_newer_version_is_refused(opened):
    """An older program must not guess what its tables mean."""
    opened.migrate()
    with opened.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="a newer version of Hogline made this database"):
        opened.migrate()


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql+psycopg://u:secret@127.0.0.1:1/none", "sqlite:////nowhere/at/all.db"]
)
def test_a_database_that_cannot_be_opened_is_explained(url):
    """The message names the option and its format, without the password."""
    with pytest.raises(SettingsError, match="database_url cannot be opened") as caught:
        database = Database(url)
        try:
            database.migrate()
        finally:
            database.close()
    assert "secret" not in str(caught.value)


def test_a_statement_is_read_without_a_session_and_on_sqlite_at_once(database_url):
    """Each reading sees what was committed before it."""
    database = Database(database_url)
    database.migrate()
    try:
        for number in (1, 2):
            with database.transaction() as session:
                session.add(ProjectRow(name="same", token=f"phc_{number}"))
            assert len(database.read(OF_ONE_NAME, {"name": "same"})) == number
            found = database.read_at_once(OF_ONE_NAME, {"name": "same"})
            assert found is None if database.file is None else len(found) == number
        assert database.read(OF_ONE_NAME, {"name": "'; --"}) == []
    finally:
        database.close()


def test_what_would_have_to_wait_is_not_read_at_once(tmp_path):
    """The event loop must not wait for a lock; `read` does."""
    database = Database(f"sqlite:///{tmp_path / 'one.sqlite3'}")
    database.migrate()
    assert list(database.read_at_once(OF_ONE_NAME, {"name": "x"})) == []
    database.close()
    other = sqlite3.connect(tmp_path / "one.sqlite3", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    database = Database(f"sqlite:///{tmp_path / 'one.sqlite3'}")
    begun = time.monotonic()
    assert database.read_at_once(OF_ONE_NAME, {"name": "x"}) is None
    assert time.monotonic() - begun < 5
    other.close()
    assert list(database.read_at_once(OF_ONE_NAME, {"name": "x"})) == []
    database.close()


def test_a_database_that_is_away_is_an_error_of_sqlalchemy(tmp_path):
    """Callers go on without what is stored."""
    database = Database(f"sqlite:///{tmp_path / 'none.sqlite3'}")
    with pytest.raises(SQLAlchemyError):
        database.read(OF_ONE_NAME, {"name": "x"})  # there is no such table
    assert database.read_at_once(OF_ONE_NAME, {"name": "x"}) is None
    database.close()


def test_fetched_rows_have_the_values_that_were_stored(opened):
    """Texts with quotes, escapes and line ends, numbers and NULL come back as they are."""
    texts = ['"quoted" \\ and \\u0041', "two\nlines\u2028", "\N{PILE OF POO} é", ""]
    rows = select(column("id"), column("name"), column("missing")).select_from(
        text("(" + " UNION ALL ".join(f"SELECT {n} AS id, :t{n} AS name, NULL AS missing" for n in range(4)) + ") AS x")
    )
    given = {f"t{n}": each for n, each in enumerate(texts)}
    with opened.session() as session:
        found = fetch_rows(session, rows.params(given))
    assert [list(row) for row in found] == [[n, each, None] for n, each in enumerate(texts)]
