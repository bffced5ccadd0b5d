"""What every student of the education room finds: a library of learning material, tools, and help articles."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from target_app.store import PRIVATE

LIBRARY_KEY = f"{PRIVATE}education:library"
"""Which items there are, by subject and by word: `{"subjects": {"algebra": [ids]}, "words": {"quiz": [ids]}}`."""
TOOLS_KEY = f"{PRIVATE}education:tools"
ARTICLES_KEY = f"{PRIVATE}education:articles"

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

_KINDS = ("lesson", "quiz", "worksheet", "video", "project")
_LEVELS = ("introductory", "basic", "intermediate", "advanced")
_TOOLS = ("summary", "flash cards", "study plan", "essay outline", "quiz", "translation")
_TOPICS = ("account", "password", "library", "collections", "threads", "search")
_QUESTIONS = ("How do I begin with my {}?", "Why does my {} not answer?", "What can I do with my {}?")


def item_key(number: int) -> str:
    """Return the key of an item of the library, 0 to ITEMS - 1, without the store's prefix."""
    return f"{PRIVATE}education:item:{number}"


def words(text: str) -> list[str]:
    """Return the words of a text that can be searched for: lower case letters, each once, in order."""
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
        yield item_key(number), item
    yield (
        TOOLS_KEY,
        [
            {"id": number, "name": name.capitalize(), "template": f"Make a {name} about {{topic}}."}
            for number, name in enumerate(_TOOLS)
        ],
    )
    yield (
        ARTICLES_KEY,
        [
            {"id": number, "title": question.format(topic), "text": f"Open your {topic} and follow what it says. " * 5}
            for number, (topic, question) in enumerate(
                (topic, question) for topic in _TOPICS for question in _QUESTIONS
            )
        ],
    )
    yield LIBRARY_KEY, {"subjects": by_subject, "words": by_word}


def writes() -> list[tuple[str, str, str, bytes]]:
    """Return the commands that write all of it."""
    return [("JSON.SET", key, "$", orjson.dumps(content)) for key, content in documents()]


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
