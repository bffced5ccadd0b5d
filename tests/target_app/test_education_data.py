"""The library, tools and articles that all students share."""

import redis

from target_app import education_data
from target_app.store import KEY_PREFIX
from tests.target_app.students import Student


def test_missing_data_is_written_when_it_is_read(student: Student, redis_url: str) -> None:
    """If Redis was emptied, the first request for library, tools or articles writes them again."""
    paths = ("library/", "tools-and-template/", "random-mystery-box/")
    for path in (*(f"ai-assistant/{path}" for path in paths), "help-center/help-articles/", "dashboard/v2/search/?q=a"):
        with redis.Redis.from_url(redis_url, protocol=2) as direct:
            direct.delete(*(KEY_PREFIX + key for key, _ in education_data.documents()))
        answer = student.open("GET", path)
        assert answer.status_code == 200, path
        assert answer.json, path


def test_the_mystery_box_shows_different_items(student: Student) -> None:
    """Twenty boxes do not all contain the same item."""
    assert len({student.open("GET", "ai-assistant/random-mystery-box/").json["id"] for _ in range(20)}) > 1
