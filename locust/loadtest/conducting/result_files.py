"""ResultFiles: the files that a run writes to its folder, and uploads to where its results are collected.

Tested in tests/unit/conducting/test_result_files.py, tests/native/test_report.py and test_report_errors.py there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from loadtest.exceptions import RecordError, UsageError
from loadtest.reporting import files, upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.reporting.document import Document
    from loadtest.run_folder import RunFolder
    from loadtest.settings.config import Config

_WRITE_AGAIN_EVERY_S = 5.0
_GONE = (
    "{} was removed or replaced while the run went on, so nothing was written there. Next: look for record.stream "
    "where the folder was moved, or repeat the run."
)


class ResultFiles:
    """The files of one run.

    Args:
        folder: the run's folder.
        config: says where copies are uploaded to.
        lives_on: whether this process outlives the run, so that it can wait for space on a full disk.
        say: prints a line on the screen.
    """

    def __init__(self, folder: RunFolder, config: Config, lives_on: bool, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._config = config
        self._lives_on = lives_on
        self._say = say

    def write(self, made: Document, texts: dict[str, Callable[[], str]]) -> list[str]:
        """Write the files of a document, unless another folder, or a link to one, has replaced the run's.

        Args:
            made: the document.
            texts: the files by name, with functions that return their text.

        Returns:
            A sentence for each file that could not be written.
        """
        folder = self._folder.path
        is_streamed = not made["stream_error"]
        if not self._folder.is_the_same:
            problems = [_GONE.format(folder)]
        else:
            problems = files.write(folder, texts, is_streamed=is_streamed, is_repeated=self._lives_on)
            if self._lives_on and (left := files.unwritten(folder, texts)):
                gevent.spawn(self._write_later, left)
        if self._config.verdict_file:
            problems += files.write_verdict(self._config.verdict_file, made)
        return problems

    def send(self) -> None:
        """Upload the files to the URL for results, if there is one. A failure is reported, and the verdict stays."""
        if not (self._config.results_url_file and self._folder.is_the_same):
            return
        try:
            self._say(f"upload       {upload.send(self._folder, self._config.results_url_file)}")
        except (UsageError, RecordError) as error:
            self._say(f"upload       failed: {error}")

    def _write_later(self, texts: dict[str, Callable[[], str]]) -> None:
        """Write the remaining files once a full disk has space again, unless the folder has been removed."""
        folder = self._folder.path
        while texts and self._folder.is_the_same:
            gevent.sleep(_WRITE_AGAIN_EVERY_S)
            files.write(folder, texts)
            texts = {name: text for name, text in texts.items() if not (folder / name).exists()}
        self._say(f"report       {folder}/ is {'complete' if not texts else 'gone'}")
