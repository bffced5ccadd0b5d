"""Credentials come from files, and errors do not repeat their content."""

import json
import os
from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.settings import credentials
from loadtest.settings.config import Config
from loadtest.settings.credentials import Account, read_accounts, read_secret, read_token


def test_accounts_are_read_from_a_csv_file(tmp_path: Path) -> None:
    """Each line is an account; quoting is as in any CSV file."""
    (tmp_path / "accounts.csv").write_text('login,password\nada@example.com,"a,b"\neve,c d\n')
    expected = (Account("ada@example.com", "a,b"), Account("eve", "c d"))
    assert read_accounts(tmp_path / "accounts.csv") == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("accounts.csv", "\ufefflogin;password\r\nada;a,b\r\neve;c d\r\n"),
        ("accounts.csv", 'login\tpassword\nada\t"a,b"\neve\tc d'),
        ("accounts.csv", 'Password,Login\n"a,b",ada\n\nc d,eve\n'),
        ("accounts.json", '[{"login": "ada", "password": "a,b"}, {"password": "c d", "login": "eve"}]'),
        ("accounts.json", '\ufeff[{"login": "ada", "password": "a,b"}, {"login": "eve", "password": "c d"}]'),
    ],
)
def test_accounts_are_read_as_programs_write_them(tmp_path: Path, name: str, text: str) -> None:
    """This covers a byte order mark, all usual delimiters, and JSON."""
    (tmp_path / name).write_text(text, newline="")
    assert read_accounts(tmp_path / name) == (Account("ada", "a,b"), Account("eve", "c d"))


def test_only_a_line_feed_outside_quotation_marks_ends_an_account(tmp_path: Path) -> None:
    """Other characters at which str.splitlines splits may be in a password."""
    (tmp_path / "accounts.csv").write_text('login,password\nada,a\u2028b\x85c\neve,"d\ne"\n')
    assert read_accounts(tmp_path / "accounts.csv") == (Account("ada", "a\u2028b\x85c"), Account("eve", "d\ne"))


def test_an_account_does_not_show_its_password() -> None:
    """A log line or a traceback with an account reveals nothing."""
    assert repr(Account("ada", "secret")) == "Account(login='ada')"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: not the header row"),
        ("ada,hidden\n", "line 1, column 1: not the header row"),
        ("login,password\n", "no account"),
        ("login,password\nada,hidden\neve\n", "line 3"),
        ("login,password\nada,\n", "line 2"),
        ("login,password\nada,hidden,more\n", "line 2"),
        ('login,password\nada,"hidden', "line 2"),
        ("[", "line 1, column 2"),
        ("[]", "no account"),
        ('{"login": "ada", "password": "hidden"}', "not an array"),
        ('["hidden"]', "line 1, column 2: not an account"),
        ('[{"login": "ada", "password": "hidden"},\n  {"login": "eve"}]', "line 2, column 3: not an account"),
        ('[{"login": "ada", "password": "hidden", "more": ""}]', "line 1, column 2: not an account"),
        ('[{"login": "hidden", "password": 1}]', "line 1, column 2: not an account"),
        ('[{"login": "ada", "password": "hidden}]', "line 1, column 31: not JSON"),
        ("[" * 100_000, "line 1, column 2: it is nested too deep"),
    ],
)
def test_a_wrong_file_is_a_usage_error_without_its_content(tmp_path: Path, text: str, words: str) -> None:
    """The error has the setting, the file and the line, but no password."""
    file = tmp_path / ("accounts.json" if text[:1] in ("[", "{") else "accounts.csv")
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_accounts(file)
    message = str(raised.value)
    assert [part for part in ("ACCOUNTS_FILE=", words, "Allowed: ", "Next: ") if part not in message] == []
    assert "hidden" not in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("accounts.csv", "login,password\n" + "a,b\n" * 4),
        ("accounts.json", json.dumps([{"login": "a", "password": "b"}] * 4)),
        ("accounts.json", "[" * 100_000),
        ("accounts.json", " " * 2000),
    ],
    ids=["many rows", "many members", "deep", "long"],
)
def test_a_file_of_accounts_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Every worker holds all accounts, so number, depth and length are limited."""
    monkeypatch.setattr(credentials, "MAX_ACCOUNTS", 3)
    monkeypatch.setattr(credentials, "LARGEST_BYTES", 1000)
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=r"more than 3 accounts|nested too deep|larger than 1,000 bytes"):
        read_accounts(tmp_path / name)


def test_a_token_is_the_only_word_of_its_file(tmp_path: Path) -> None:
    """White space around it is ignored; no word, or two words, are refused without being shown."""
    file = tmp_path / "token"
    file.write_text("\n abc.def \n")
    assert read_token(file) == "abc.def"
    file.write_text("\ufeffabc.def\r\n")
    assert read_token(file) == "abc.def"
    for text in ("", "Bearer abc.def", "abc.def\u2028abc.def", "abc.defé"):
        file.write_text(text)
        with pytest.raises(UsageError, match="TOKEN_FILE=") as raised:
            read_token(file)
        assert "abc.def" not in str(raised.value)


def test_a_secret_is_read_from_a_regular_file_only(tmp_path: Path) -> None:
    """A byte order mark is not part of it, and a named pipe is refused without a wait."""
    (tmp_path / "secret").write_text("\ufeffa secret of a key\n")
    assert read_secret(tmp_path / "secret", "LINK_KEY_FILE", 8) == "a secret of a key"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_text("x" * 100_000)
    for name, reason in (("pipe", "it is not a regular file"), ("long", "it is longer than")):
        with pytest.raises(UsageError, match=f"LINK_KEY_FILE=.*{reason}.*Next: "):
            read_secret(tmp_path / name, "LINK_KEY_FILE", 8)


def test_both_files_are_checked_before_a_run(tmp_path: Path) -> None:
    """A file that is missing or not text is named with its setting."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    credentials.check(Config.load({}, environ={}))
    for setting, path, reason in (
        ("accounts_file", "/nowhere", "No such file"),
        ("accounts_file", str(tmp_path), "it is a directory"),
        ("token_file", str(tmp_path / "pipe"), "it is not a regular file"),
        ("token_file", "/nowhere", "No such file"),
        ("token_file", str(tmp_path / "binary"), "byte 0xff is not UTF-8"),
    ):
        with pytest.raises(UsageError, match=f"{setting.upper()}={path}.*{reason}"):
            credentials.check(Config.load({setting: path}, environ={}))


def test_what_is_not_set_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the settings there are no accounts and no header."""
    for setting in ("LOADTEST_ACCOUNTS_FILE", "LOADTEST_TOKEN_FILE"):
        monkeypatch.delenv(setting, raising=False)
    for cached in (credentials.accounts, credentials.bearer_headers):
        cached.cache_clear()
    assert (credentials.accounts(), credentials.bearer_headers()) == ((), {})


def test_the_settings_name_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario's accounts and token come from the files."""
    (tmp_path / "accounts.csv").write_text("login,password\nada,hidden\n")
    (tmp_path / "token").write_text("abc.def")
    monkeypatch.setenv("LOADTEST_ACCOUNTS_FILE", str(tmp_path / "accounts.csv"))
    monkeypatch.setenv("LOADTEST_TOKEN_FILE", str(tmp_path / "token"))
    for cached in (credentials.accounts, credentials.bearer_headers):
        cached.cache_clear()
    found = credentials.accounts(), credentials.bearer_headers()
    for cached in (credentials.accounts, credentials.bearer_headers):
        cached.cache_clear()
    assert found == ((Account("ada", "hidden"),), {"Authorization": "Bearer abc.def"})
