"""Paths that are passed on to RedisJSON, and paths that are refused."""

import pytest
from flask.testing import FlaskClient

from target_app import json_path
from target_app.json_path import PathError
from tests.target_app.problems import URL, problem


@pytest.mark.parametrize(
    "path",
    [
        *("$", "$.name", "$.names[0].language.name", "$.*", "$[*]", "$..hp", "$..*", "$..[0]", "$.a-b_9", "$.straße"),
        *('$["a b"]', "$['it\\'s']", '$["a","b"]', "$[0,-1, 2]", "$[1:3]", "$[:]", "$[-2:]", "$[::2]", "$[ 0 ]"),
        *("$.a[?(@.price < 10)].title", '$[?(@.a == "x" && (@.b >= 1.5e3 || @ != null))]', "$[?(@.a)]"),
    ],
)
def test_a_path_that_reads_values_is_accepted(path: str) -> None:
    """The documented syntax of RedisJSON for reading values is accepted."""
    json_path.check(path)


@pytest.mark.parametrize(
    ("path", "character"),
    [
        *(("", 1), ("name", 1), ("$name", 2), ("$.", 3), ("$..", 4), ("$...a", 4), ("$[", 3), ("$[0", 4), ("$[0]x", 5)),
        *(
            ("$.a[99999999999999999999]", 14),
            ("$[0:1:0]", 7),
            ("$[-]", 3),
            ("$[1:99999999999]", 14),
            ("$.a\n", 4),
            ('$["\0"]', 4),
        ),
        *(('$["a]', 3), ("$[?@.a]", 4), ("$[?(@.a =~ 'x')]", 9), ("$[(@.length-1)]", 3), ("$[?(@.a == )]", 12)),
        *(("$" + ".a" * 33, 66), ("$[" + "0," * 64 + "0]", 131), ("$[?(" + "(" * 8 + "@" + ")" * 9 + "]", 13)),
    ],
)
def test_another_path_is_refused_at_its_character(path: str, character: int) -> None:
    """The message has the position of the first invalid character."""
    with pytest.raises(PathError, match=f"^at character {character}: "):
        json_path.check(path)


def test_a_path_is_bounded() -> None:
    """A longer one is refused before it is read."""
    with pytest.raises(PathError, match="it has 514 characters; at most 512"):
        json_path.check("$." + "a" * 512)


def test_a_recursive_path_reads_only() -> None:
    """A match of ``..`` may be inside a value that was just replaced."""
    json_path.check("$..a")
    with pytest.raises(PathError, match=r"at character 2: '\.\.' is not allowed when values are changed"):
        json_path.check("$..a", writing=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$..*..a", "only one '..'"),
        ("$" + "['a','a']" * 7, "64 combinations"),
        ("$" + "[0,0,0,0]" * 4, "64 combinations"),
    ],
)
def test_a_path_does_not_multiply_what_it_reaches(path: str, message: str) -> None:
    """Otherwise a path of 200 characters would block Redis for minutes."""
    with pytest.raises(PathError, match=message):
        json_path.check(path)
    json_path.check("$" + "['a','b']" * 6 + "..c")


@pytest.mark.usefixtures("problem_document")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "$.list[99999999999999999999]"),
        ("PUT", "$..*"),
        ("DELETE", "$..*"),
        ("GET", "$.list[-9999999999999999999]"),
    ],
)
def test_one_request_does_not_end_redis(client: FlaskClient, method: str, path: str) -> None:
    """RedisJSON 2.8 panics at some of these, and takes Redis down; the response is a 400, and Redis stays up."""
    answer = client.open(
        f"{URL}/value", method=method, query_string={"path": path}, json=None if method != "PUT" else 1
    )
    assert problem(answer)[0] == 400
    assert client.get(URL).status_code == 200
