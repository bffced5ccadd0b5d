"""SqlQuery: the rows of a database that a feed's URL selects, read with SQLAlchemy.

sqlite:///shop.db?table=customers
postgresql+psycopg://me@host/shop?query=SELECT id, email FROM customers WHERE active ORDER BY id
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import StackError, UsageError
from loadtest.feeding.python_values import plain_record
from loadtest.feeding.source_url import SourceUrl
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Generator

_ALLOWED: Final = "an SQLAlchemy URL with ?table=… or ?query=…, percent-encoded where it contains &, # or %"
_AT_ONCE: Final = 10_000


class SqlQuery:
    """The query of a URL; its other parameters are the driver's.

    Args:
        url: ``dialect+driver://user:password@host:port/database``.

    Raises:
        UsageError: for a URL of another form, or when SQLAlchemy or the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = SourceUrl(url, ("table", "query"), _ALLOWED)
        if len(self._url.given) != 1:
            raise self._url.wrong("neither table nor query, or both")
        try:
            import sqlalchemy  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UsageError(
                f"{without_credentials(url)} needs SQLAlchemy, which is not installed. Allowed: a file, redis://… and "
                "mongodb://… without it. Next: .venv/bin/pip install sqlalchemy, and the database's driver."
            ) from error
        self._sql: Any = sqlalchemy
        try:
            self._engine: Any = sqlalchemy.create_engine(self._url.store)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
            raise self._url.wrong(without_credentials(str(error)).partition("\n")[0]) from error
        database = self._engine.url.database or ":memory:"
        if self._engine.url.get_backend_name() == "sqlite" and not Path(database).is_file():
            raise self._url.wrong("there is no such file")  # SQLite would create one

    def values(self) -> Generator[dict[str, Any], None, None]:
        """Yield the rows as records.

        Raises:
            StackError: when the database does not answer.
            UsageError: when the query is refused, returns no rows, or names a column twice.
        """
        errors = self._sql.exc
        try:
            with self._engine.connect() as connection:
                rows = connection.execution_options(yield_per=_AT_ONCE).execute(
                    self._sql.text(self._statement().replace(":", r"\:"))
                )
                names = list(rows.keys()) if rows.returns_rows else []
                if len(set(names)) != len(names) or not names:
                    raise self._url.wrong(f"the columns are {', '.join(names) or 'none'}; each needs a unique name")
                for row in rows:
                    yield plain_record(dict(zip(names, row, strict=True)))
        except errors.SQLAlchemyError as error:
            is_away = isinstance(error, errors.OperationalError) and self._engine.url.get_backend_name() != "sqlite"
            raise (StackError if is_away else UsageError)(self._said(error)) from error

    def _statement(self) -> str:
        table = self._url.given.get("table")
        if table is None:
            return self._url.given["query"]
        quote = self._engine.dialect.identifier_preparer.quote
        return f"SELECT * FROM {'.'.join(map(quote, table.split('.')))}"  # noqa: S608 - quoted

    def _said(self, error: Exception) -> str:
        reason = without_credentials(str(getattr(error, "orig", None) or error)).strip().partition("\n")[0]
        return str(self._url.wrong(reason))
