"""The data that all students of the education room share: a library of learning material, tools, and help articles.

The first reader that finds it missing writes it. Items, tools and articles are returned as the JSON text stored in
Redis.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import orjson

from target_app import extensions
from target_app.store import PRIVATE
from target_app.store_errors import UnknownKeyError, UnknownPathError

_LIBRARY_KEY = f"{PRIVATE}education:library"
"""The ids of the items, by subject and by word: `{"subjects": {"algebra": [ids]}, "words": {"quiz": [ids]}}`."""
_TOOLS_KEY = f"{PRIVATE}education:tools"
_ARTICLES_KEY = f"{PRIVATE}education:articles"

SUBJECTS = (
    "algebra",
    "astronomy",
    "biology",
    "chemistry",
    "economics",
    "geography",
    "geometry",
    "grammar",
    "history",
    "physics",
)
ITEMS = 200

_T = TypeVar("_T")

_KINDS = ("lesson", "quiz", "worksheet", "video", "project")
_LEVELS = ("introductory", "basic", "intermediate", "advanced")
_TOOLS = ("summary", "flash cards", "study plan", "essay outline", "quiz", "translation")
_TOPICS = ("account", "password", "library", "collections", "threads", "search")
_QUESTIONS = ("How do I begin with my {}?", "Why does my {} not answer?", "What can I do with my {}?")


def words(text: str) -> list[str]:
    """Return the searchable words of a text: in lower case, without repetitions, in order."""
    return list(dict.fromkeys(re.findall(r"[a-z]+", text.lower())))


def documents() -> Iterator[tuple[str, Any]]:
    """Yield the key and the content of each document."""
    by_subject: dict[str, list[int]] = {subject: [] for subject in SUBJECTS}
    by_word: dict[str, list[int]] = {}
    for number in range(ITEMS):
        item = _item(number)
        by_subject[item["subject"]].append(number)
        for word in words(f"{item['title']} {item['summary']}"):
            by_word.setdefault(word, []).append(number)
        yield _item_key(number), item
    yield (
        _TOOLS_KEY,
        [
            {"id": number, "name": name.capitalize(), "template": f"Make a {name} about {{topic}}."}
            for number, name in enumerate(_TOOLS)
        ],
    )
    yield (
        _ARTICLES_KEY,
        [
            {"id": number, "title": question.format(topic), "text": f"Open your {topic} and follow what it says. " * 5}
            for number, (topic, question) in enumerate(
                (topic, question) for topic in _TOPICS for question in _QUESTIONS
            )
        ],
    )
    yield _LIBRARY_KEY, {"subjects": by_subject, "words": by_word}


def items(numbers: Sequence[int]) -> list[bytes]:
    """Return items of the library by their numbers, 0 to ITEMS - 1."""
    keys = [_item_key(number) for number in numbers]

    def read() -> list[bytes]:
        found = extensions.store().read_many(keys)
        if not found:
            raise UnknownKeyError("The library does not exist yet.")
        return found

    return _read_or_write(read) if keys else []


def any_item() -> bytes:
    """Return a random item of the library."""
    return _document(_item_key(secrets.randbelow(ITEMS)))


def numbers_of_subject(subject: str) -> list[int]:
    """Return the numbers of the items on a subject."""
    return _numbers(f"$.subjects.{subject}[*]")


def numbers_of_word(word: str) -> list[int]:
    """Return the numbers of the items whose title or summary contains a word, given in lower case."""
    return _numbers(f"$.words.{word}[*]")


def tools() -> bytes:
    """Return the assistant's tools."""
    return _document(_TOOLS_KEY)


def articles() -> bytes:
    """Return the help articles."""
    return _document(_ARTICLES_KEY)


def _document(key: str) -> bytes:
    return _read_or_write(lambda: extensions.store().read(key))


def _numbers(path: str) -> list[int]:
    try:
        text = _read_or_write(lambda: extensions.store().read_path(_LIBRARY_KEY, path))
    except UnknownPathError:
        return []
    numbers: list[int] = orjson.loads(text)
    return numbers


def _read_or_write(read: Callable[[], _T]) -> _T:
    """Read; if nothing exists yet, write everything first."""
    try:
        return read()
    except UnknownKeyError:
        writes = (("JSON.SET", key, "$", orjson.dumps(content)) for key, content in documents())
        extensions.store().together(*writes)
        return read()


def _item_key(number: int) -> str:
    return f"{PRIVATE}education:item:{number}"


def _item(number: int) -> dict[str, Any]:
    subject = SUBJECTS[number % len(SUBJECTS)]
    kind = _KINDS[number // len(SUBJECTS) % len(_KINDS)]
    level = _LEVELS[number // len(SUBJECTS) // len(_KINDS) % len(_LEVELS)]
    return {
        "id": number,
        "title": f"{level.capitalize()} {subject} {kind}",
        "subject": subject,
        "kind": kind,
        "level": level,
        "minutes": 10 + number % 6 * 5,
        "summary": f"A {kind} in {subject} for students at {level} level.",
    }
