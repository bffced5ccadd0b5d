"""Upload: a run's folder as one archive, sent to a presigned URL of any S3-compatible store.

The URL is a credential, so it is read from a file, and no message shows more of it than its host. It is for one object:
the next run with the same URL overwrites it.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import gevent

from loadtest.exceptions import RecordError, UsageError
from loadtest.settings.data_file import DataFile
from loadtest.settings.fetching import fetch
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from loadtest.run_folder import RunFolder
    from loadtest.settings.fetching import Answer

ATTEMPTS: Final = 3
WITHIN_S: Final = 120.0
"""Seconds that all attempts together may take; `loadtest.settings.fetching` gives a connection less."""
PAUSE_S: Final = 2.0
_LARGEST_URL_BYTES: Final = 16 * 1024
_LARGEST_ANSWER_BYTES: Final = 64 * 1024
_ACCEPTED: Final = range(200, 300)
_MAY_PASS: Final = frozenset({408, 429, 500, 502, 503, 504})
_CODE: Final = re.compile(rb"<Code>(\w{1,60})</Code>")
"""The error code in a store's response, which is shown. The rest of it may contain parts of the signature."""


def read_url(file: Path) -> str:
    """Read the URL, the only word in a file.

    Raises:
        UsageError: when the file cannot be read, or has other content, which the error does not show.
    """
    words = DataFile(file, f"RESULTS_URL_FILE={file}", _LARGEST_URL_BYTES).text().split()
    try:
        (url,) = words
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and url.isascii() and parts.port != 0:
            return url
    except ValueError:
        pass  # several words, an unclosed bracket in the host, or a port that is not a number
    raise UsageError(
        f"RESULTS_URL_FILE={file} holds no URL. Allowed: a file that holds an http or https URL and nothing else. "
        "Next: write a URL into it that your store presigned for PUT."
    )


def send(folder: RunFolder, file: Path) -> str:
    """Send a run's folder as NAME.tar.gz, and return how much was sent and to which host, as a sentence.

    Args:
        folder: the run's folder.
        file: the file with the URL, read again because the URL may have been renewed during the run.

    Raises:
        UsageError: when the file no longer contains a URL.
        RecordError: when the archive cannot be made, or was not accepted in `ATTEMPTS` attempts or `WITHIN_S`.
    """
    url = read_url(file)
    place = urlsplit(url).hostname
    try:
        with tempfile.TemporaryDirectory() as name:
            archive = Path(name) / f"{folder.name}.tar.gz"
            gevent.get_hub().threadpool.apply(_pack, (folder, archive))  # in a thread: the process keeps answering
            _put(archive, url)
            return f"{archive.stat().st_size:,} bytes to {place}"
    except (OSError, ValueError) as error:
        raise RecordError(
            f"the results were not sent to {place}: {without_credentials(str(error))}. They are in {folder.path}/. "
            "Next: copy them from there, and look at RESULTS_URL_FILE before the next run: its URL may have expired, "
            "or be for another method than PUT."
        ) from error


def _pack(folder: RunFolder, archive: Path) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
        packed.add(folder.path, arcname=folder.name)


def _put(archive: Path, url: str) -> None:
    """Send an archive; temporary failures are retried while there is time.

    Raises:
        OSError: when it was not accepted.
        ValueError: when it would be sent to something that is not a URL.
    """
    until_s = time.monotonic() + WITHIN_S
    attempts, problem = 0, ""
    while attempts < ATTEMPTS and (left_s := until_s - time.monotonic()) > 0:
        attempts += 1
        try:
            answer = _answer(archive, url, left_s)
        except OSError as error:
            problem = str(error)
        else:
            if answer.status in _ACCEPTED:
                return
            code = _CODE.search(answer.body)
            problem = f"it answered {answer.status}{f' {code[1].decode()}' if code else ''}"
            if answer.status not in _MAY_PASS:
                raise OSError(problem)
        if attempts < ATTEMPTS:
            gevent.sleep(PAUSE_S)
    raise OSError(f"{problem}, in {attempts} attempt{'s' if attempts > 1 else ''}")


def _answer(archive: Path, url: str, within_s: float) -> Answer:
    with archive.open("rb") as body:  # opened per attempt: one that timed out may still be reading
        length = {"Content-Length": str(archive.stat().st_size)}
        return fetch(url, within_s, "PUT", length, _LARGEST_ANSWER_BYTES, body=body)
