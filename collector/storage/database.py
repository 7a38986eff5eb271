"""The relational database: registry, incidents, outbox. SQLite by default, PostgreSQL where two collectors share it."""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["DatabaseRefused", "Engine", "metadata", "open_database", "sqlite_url"]

DatabaseRefused: Final = SQLAlchemyError
"""What every question to the database may raise: locked, full, gone. Nothing of the change that raised it is kept."""

metadata = MetaData()
"""All tables; each module that owns some defines them against this."""


def open_database(url: str) -> Engine:
    """The database at an SQLAlchemy URL, with its tables made where they are missing.

    SQLite is opened in WAL mode with synchronous FULL: what is committed survives a power cut.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _make_durable)
    metadata.create_all(engine)
    return engine


def sqlite_url(path: Path) -> str:
    """The SQLAlchemy URL of an SQLite file."""
    return f"sqlite:///{path}"


def _make_durable(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection has no type
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")
