"""A test as pytest has it, which is a user under Locust."""

import time


def test_home(session):
    session.get(session.base_url + "/home")
    session.post("/form", data={"a": "1"})
    time.sleep(0.05)
