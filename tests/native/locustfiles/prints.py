"""Prints and logs while it is imported, and imports a module from its folder."""

import logging
import os
import random

from locust import HttpUser, constant, task

import words_beside

print("imported", words_beside.WORDS)
os.write(1, b"written past Python\n")
logging.warning("careful")


class Speaker(HttpUser):
    wait_time = constant(0.05)

    @task
    def speak(self):
        self.client.get(f"/{words_beside.word(random.randrange(2))}")
