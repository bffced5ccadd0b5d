"""The query of a MongoDB URL; the types of its values are kept."""

import datetime as dt
from collections.abc import Iterator
from urllib.parse import quote

import bson
import pymongo
import pytest

from loadtest.exceptions import StackError, UsageError
from loadtest.feeding import sources
from tests.mongo_harness import mongo_server

OID = "507f1f77bcf86cd799439011"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with customers of several types."""
    with mongo_server(tmp_path_factory.mktemp("mongo")) as url:
        client = pymongo.MongoClient(url)
        client.get_default_database()["customers"].insert_many(
            [
                {"_id": 1, "active": True, "at": {"city": "Rome"}},
                {"_id": 2, "born": dt.datetime(2001, 2, 3, tzinfo=dt.UTC), "active": False},
                {"_id": bson.ObjectId(OID), "coins": bson.Int64(2**40), "active": True, "at": {"city": "Bern"}},
            ]
        )
        client.close()
        yield url


def test_documents_are_records_with_their_types(url: str) -> None:
    """Whole numbers stay numbers; ObjectIds and dates become their usual texts."""
    found = list(sources.read(f"{url}?collection=customers").items)
    assert found == [
        {"_id": 1, "active": True, "at": {"city": "Rome"}},
        {"_id": 2, "born": "2001-02-03T00:00:00Z", "active": False},
        {"_id": OID, "coins": 2**40, "active": True, "at": {"city": "Bern"}},
    ]
    assert list(sources.read(f"{url}?collection=customers", ids_only=True).items) == [1, 2, OID]


def test_a_field_and_a_filter_choose(url: str) -> None:
    """A field may be nested; the filter is MongoDB's, with Extended JSON for its types."""
    active = quote('{"active": true}')
    assert list(sources.read(f"{url}?collection=customers&field=at.city&filter={active}").items) == ["Rome", "Bern"]
    one = quote(f'{{"_id": {{"$oid": "{OID}"}}}}')
    assert list(sources.read(f"{url}?collection=customers&field=coins&filter={one}").items) == [2**40]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?collection=customers&field=coins", "the document 1 has no field coins"),
        ("?collection=customers&field=active", "item 1: true: not an item"),
        ("?collection=none", "no items"),
        ("?filter={", "its filter is not JSON"),
        ("?filter=[]", "its filter is not a JSON object"),
        ("?collection=", "is empty, or given twice"),
        ("?collection=a&collection=b", "is empty, or given twice"),
    ],
)
def test_a_wrong_query_is_said(url: str, query: str, words: str) -> None:
    """The error comes before the run begins."""
    with pytest.raises(UsageError, match=words):
        sources.read(url + query)


def test_an_unreachable_mongodb_is_said_without_its_password() -> None:
    """This also holds with parameters of this product."""
    with pytest.raises(StackError, match=r"\*\*\*@127\.0\.0\.1:1") as raised:
        sources.read("mongodb://me:secret@127.0.0.1:1/x?collection=a&serverSelectionTimeoutMS=200")
    assert "secret" not in str(raised.value)
