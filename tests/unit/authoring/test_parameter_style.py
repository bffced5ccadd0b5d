"""The parameter styles of OpenAPI, after the table in its specification."""

from typing import Any

import pytest

from loadtest.authoring.parameter_style import in_header, in_path, query_pairs

LIST = ["blue", "black", "brown"]
RECORD = {"R": 100, "G": 200, "B": True}


@pytest.mark.parametrize(
    ("style", "explode", "value", "expected"),
    [
        ("simple", False, "blue", "blue"),
        ("simple", False, LIST, "blue,black,brown"),
        ("simple", False, RECORD, "R,100,G,200,B,true"),
        ("simple", True, RECORD, "R=100,G=200,B=true"),
        ("label", False, "blue", ".blue"),
        ("label", False, LIST, ".blue,black,brown"),
        ("label", True, LIST, ".blue.black.brown"),
        ("label", False, RECORD, ".R,100,G,200,B,true"),
        ("label", True, RECORD, ".R=100.G=200.B=true"),
        ("matrix", False, "blue", ";color=blue"),
        ("matrix", True, "blue", ";color=blue"),
        ("matrix", False, LIST, ";color=blue,black,brown"),
        ("matrix", True, LIST, ";color=blue;color=black;color=brown"),
        ("matrix", False, RECORD, ";color=R,100,G,200,B,true"),
        ("matrix", True, RECORD, ";R=100;G=200;B=true"),
        ("simple", False, True, "true"),
        ("simple", False, "a/b c", "a%2Fb%20c"),
    ],
)
def test_a_value_in_a_path(style: str, explode: bool, value: Any, expected: str) -> None:
    """A single value, a list and a record are encoded in each style."""
    assert in_path("color", value, style, explode=explode) == expected


@pytest.mark.parametrize(
    ("style", "explode", "value", "expected"),
    [
        ("form", True, "a b&c", "color=a%20b%26c"),
        ("form", True, None, "color="),
        ("form", True, False, "color=false"),
        ("form", True, LIST, "color=blue&color=black&color=brown"),
        ("form", False, LIST, "color=blue,black,brown"),
        ("form", False, ["a,b", "c"], "color=a%2Cb,c"),
        ("form", True, RECORD, "R=100&G=200&B=true"),
        ("form", False, RECORD, "color=R,100,G,200,B,true"),
        ("form", True, {"a": [1, {"b": None}]}, "a=%5B1%2C%7B%22b%22:null%7D%5D"),
        ("spaceDelimited", False, LIST, "color=blue%20black%20brown"),
        ("pipeDelimited", False, LIST, "color=blue%7Cblack%7Cbrown"),
        ("deepObject", True, RECORD, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=true"),
        ("deepObject", True, {"a": {"b": [1, 2]}}, "color%5Ba%5D%5Bb%5D=1&color%5Ba%5D%5Bb%5D=2"),
    ],
)
def test_a_value_in_a_query(style: str, explode: bool, value: Any, expected: str) -> None:
    """A single value, a list, a record and a nested value are encoded in each style."""
    assert "&".join("=".join(pair) for pair in query_pairs("color", value, style, explode=explode)) == expected


@pytest.mark.parametrize(
    ("explode", "value", "expected"),
    [
        (False, True, "true"),
        (False, LIST, "blue,black,brown"),
        (False, RECORD, "R,100,G,200,B,true"),
        (True, RECORD, "R=100,G=200,B=true"),
    ],
)
def test_a_value_in_a_header(explode: bool, value: Any, expected: str) -> None:
    """Headers have one style, and are not percent-encoded."""
    assert in_header(value, explode=explode) == expected


def test_a_style_that_a_place_cannot_have_is_refused() -> None:
    """The operation is listed, instead of being sent in another style."""
    with pytest.raises(ValueError, match="a query has no style matrix"):
        query_pairs("a", "b", "matrix", explode=True)
    with pytest.raises(ValueError, match="a path has no style form"):
        in_path("a", "b", "form", explode=True)
