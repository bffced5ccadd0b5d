"""MongoQuery: the documents that a URL of a feed asks for.

mongodb://host/shop                                                   the users of `loadtest seed users`
mongodb://host/shop?collection=customers                              other documents
mongodb://host/shop?collection=customers&field=email                  one field of them
mongodb://host/shop?collection=customers&filter={"active":true}       those that match
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bson import json_util
from bson.errors import BSONError

from loadtest.exceptions import UsageError
from loadtest.feeding.mongo_values import plain
from loadtest.seeding.stores import COLLECTION, MongoStore
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OWN: Final = ("collection", "field", "filter")


class MongoQuery:
    """What a URL asks for; its other parameters are pymongo's.

    Args:
        url: ``mongodb://…`` or ``mongodb+srv://…``.

    Raises:
        UsageError: for a filter that is not a JSON object, or parameters that are empty or there twice.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        own = [(name, value) for name, value in pairs if name in _OWN]
        self._given = dict(own)
        self._name = without_credentials(url)
        if len(own) != len(self._given) or not all(self._given.values()):
            raise self._wrong("collection, field or filter is empty, or there twice")
        rest = urlencode([pair for pair in pairs if pair[0] not in _OWN])
        self._url = urlunsplit(parts._replace(query=rest))
        self._filter = self._parsed(self._given.get("filter", "{}"))

    @staticmethod
    def is_meant(url: str) -> bool:
        """Return whether a URL names a MongoDB."""
        return urlsplit(url).scheme in ("mongodb", "mongodb+srv")

    def values(self, fields: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield the documents, or the field, sorted by ``_id``.

        Args:
            fields: those that are needed of the documents; None for all.

        Raises:
            StackError: when the MongoDB does not answer.
            UsageError: when a document lacks the field.
        """
        field = self._given.get("field")
        with MongoStore(self._url, self._given.get("collection", COLLECTION)) as store:
            needed = [field.partition(".")[0]] if field else list(fields) if fields else None
            for document in store.find(self._filter, needed):
                yield self._field(document, field) if field else plain(document)

    def _field(self, document: dict[str, Any], field: str) -> Any:
        value: Any = document
        for name in field.split("."):
            if not isinstance(value, dict) or name not in value:
                raise self._wrong(f"the document {plain(document.get('_id'))} has no field {field}")
            value = value[name]
        return plain(value)

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text, object_hook=json_util.object_hook)
        except (ValueError, TypeError, RecursionError, BSONError) as error:
            raise self._wrong(f"its filter is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise self._wrong("its filter is not a JSON object")
        return found

    def _wrong(self, reason: str) -> UsageError:
        return UsageError(
            f"FEED={self._name}: {reason}. Allowed: mongodb://host:port/database?collection=…&field=…&filter={{…}}, "
            "each at most once. Next: correct it."
        )
