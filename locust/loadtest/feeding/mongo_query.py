"""MongoQuery: the documents that a feed's URL selects.

mongodb://host/shop                                                   the users of `loadtest seed users`
mongodb://host/shop?collection=customers                              other documents
mongodb://host/shop?collection=customers&field=email                  one field of them
mongodb://host/shop?collection=customers&filter={"active":true}       those that match
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from bson import json_util
from bson.errors import BSONError

from loadtest.feeding.mongo_values import plain
from loadtest.feeding.source_url import SourceUrl
from loadtest.seeding.stores import COLLECTION, MongoStore

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_ALLOWED: Final = "mongodb://host:port/database?collection=…&field=…&filter={…}, each at most once"


class MongoQuery:
    """The query of a URL; its other parameters are pymongo's.

    Args:
        url: ``mongodb://…`` or ``mongodb+srv://…``.
        fields: the fields of the documents to read; None for all.

    Raises:
        UsageError: the filter is not a JSON object, or a parameter is empty or repeated.
    """

    def __init__(self, url: str, fields: Sequence[str] | None = None) -> None:
        self._fields = fields
        self._url = SourceUrl(url, ("collection", "field", "filter"), _ALLOWED)
        self._filter = self._parsed(self._url.given.get("filter", "{}"))

    def values(self) -> Generator[Any, None, None]:
        """Yield the documents, or the field, sorted by ``_id``.

        Raises:
            StackError: MongoDB does not answer.
            UsageError: when a document lacks the field.
        """
        field = self._url.given.get("field")
        with MongoStore(self._url.store, self._url.given.get("collection", COLLECTION)) as store:
            needed = [field.partition(".")[0]] if field else list(self._fields) if self._fields else None
            for document in store.find(self._filter, needed):
                yield self._field(document, field) if field else plain(document)

    def _field(self, document: dict[str, Any], field: str) -> Any:
        value: Any = document
        for name in field.split("."):
            if not isinstance(value, dict) or name not in value:
                raise self._url.wrong(f"the document {plain(document.get('_id'))} has no field {field}")
            value = value[name]
        return plain(value)

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text, object_hook=json_util.object_hook)
        except (ValueError, TypeError, RecursionError, BSONError) as error:
            raise self._url.wrong(f"its filter is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise self._url.wrong("its filter is not a JSON object")
        return found
