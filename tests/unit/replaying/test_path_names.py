"""Names of requests: ids in paths are replaced, words stay."""

import time

import pytest

from loadtest.replaying.path_names import MAX_SIBLINGS, names_of


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/", "/"),
        ("/users/42?page=3", "/users/:id"),
        ("/users/42/orders/A1B2C3D4E5F6/items", "/users/:id/orders/:id/items"),
        ("/api/v2/items/00000000-0000-4000-8000-000000000000", "/api/v2/items/:id"),
        ("/docs/5f2b6c1e9d3a4b0011223344", "/docs/:id"),
        ("/days/2026-01-31", "/days/:id"),
        ("/u/ada@example.com/photo.png", "/u/:id/photo.png"),
        ("/img/1234.png", "/img/:id.png"),
        ("/orders/order-17", "/orders/:id"),
        ("/search/red%20shoes", "/search/:id"),
        ("/about-us/team/", "/about-us/team/"),
        ("/facade/dashboard/deadbeef", "/facade/dashboard/deadbeef"),
        ("/t/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/t/:id"),
        ("/in/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl/b", "/in/:id/b"),
    ],
)
def test_ids_in_paths(target: str, name: str) -> None:
    """Ids are numbers, dates, UUIDs, hashes, tokens and addresses, but not words, versions or extensions."""
    assert names_of([target]) == {target: name}


def test_a_long_part_takes_little_time() -> None:
    """It is an id, and is not scanned repeatedly."""
    began_s = time.process_time()
    assert set(names_of([f"/a@{'.' * 60_000}@{number}" for number in range(10)]).values()) == {"/:id"}
    assert time.process_time() - began_s < 5


def test_many_siblings_are_values() -> None:
    """Names of articles have no digit; the paths below each stay apart."""
    words = [f"{first}{second}" for first in "abcdefgh" for second in "klmnop"]
    assert len(words) > MAX_SIBLINGS
    names = names_of(f"/p/{word}/{below}" for word in words for below in ("reviews", "photos"))
    assert set(names.values()) == {"/p/:any/reviews", "/p/:any/photos"}
    few = [f"/p/{word}" for word in words[:MAX_SIBLINGS]]
    assert set(names_of(few).values()) == set(few)
