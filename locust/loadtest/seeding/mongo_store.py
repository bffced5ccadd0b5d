"""Users in a MongoDB collection, written in bulk; pymongo is the optional extra ``mongo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import StackError, UsageError
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

COLLECTION: Final = "users"
DATABASE: Final = "loadtest"
"""Where a URL names none."""
_LIMITS_MS: Final = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 5_000, "socketTimeoutMS": 20_000}
"""Where a URL says nothing else."""
_DUPLICATE_KEY: Final = 11000


class MongoStore:
    """Users in the collection `COLLECTION`, each one's id as its ``_id``; a context manager that closes it.

    Every method raises a StackError when MongoDB is away or refuses us.

    Args:
        url: ``mongodb://host[:port]/database``, with whatever options pymongo knows.

    Raises:
        UsageError: pymongo is not installed, or cannot read the URL.
    """

    def __init__(self, url: str) -> None:
        try:
            import pymongo  # noqa: PLC0415 - an optional extra
            import pymongo.errors  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(
                f"{without_credentials(url)} needs pymongo, which is not installed. Allowed: redis://…, or mongodb://… "
                "with the optional extra. Next: pip install 'loadtest-stack[mongo]'."
            ) from error
        self.name = without_credentials(url)
        self._errors = pymongo.errors
        try:
            limits_ms = {name: value for name, value in _LIMITS_MS.items() if name.lower() not in url.lower()}
            client: Any = pymongo.MongoClient
            self._client: Any = client(url, **limits_ms)
            self._users: Any = self._client.get_default_database(DATABASE)[COLLECTION]
        except (pymongo.errors.PyMongoError, ValueError) as error:
            raise UsageError(
                f"{self.name} is not a MongoDB URL ({without_credentials(str(error))}). Allowed: "
                "mongodb://host:port/database. Next: correct it."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def write(self, users: Sequence[dict[str, Any]]) -> int:
        """Write the users who are not there yet; return how many that were. The others stay as they are."""
        ids = [user["id"] for user in users]
        try:
            there = {found["_id"] for found in self._users.find({"_id": {"$in": ids}}, {"_id": 1})}
            missing = [_document(user) for user in users if user["id"] not in there]
            if missing:
                self._users.insert_many(missing, ordered=False)
        except self._errors.BulkWriteError as error:
            written: int = error.details.get("nInserted", 0)
            if any(problem.get("code") != _DUPLICATE_KEY for problem in error.details.get("writeErrors", [{}])):
                raise self._failed(error) from error
            return written  # somebody else seeds the same users
        except self._errors.PyMongoError as error:
            raise self._failed(error) from error
        return len(missing)

    def finish(self) -> None:
        """Nothing is left to do."""

    def ids(self) -> list[str]:
        """Return the ids of all users, sorted."""
        try:
            return sorted(str(found["_id"]) for found in self._users.find({}, {"_id": 1}))
        except self._errors.PyMongoError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StackError:
        reason = without_credentials(str(error)).partition(", Timeout:")[0]
        return StackError(
            f"the MongoDB at {self.name} does not serve ({reason}). Allowed: a running MongoDB that lets us in. "
            "Next: start it or correct its address, then do the same again; what is written stays."
        )


def _document(user: dict[str, Any]) -> dict[str, Any]:
    return {"_id": user["id"], **{name: value for name, value in user.items() if name != "id"}}
