"""Credentials come from files, and an error does not repeat what is in them."""

from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.settings import credentials
from loadtest.settings.config import Config
from loadtest.settings.credentials import Account, read_accounts, read_token


def test_accounts_are_read_from_a_csv_file(tmp_path: Path) -> None:
    """Each line is an account; quoting is as in every CSV file."""
    (tmp_path / "accounts.csv").write_text('login,password\nada@example.com,"a,b"\neve,c d\n')
    expected = (Account("ada@example.com", "a,b"), Account("eve", "c d"))
    assert read_accounts(tmp_path / "accounts.csv") == expected


def test_an_account_does_not_show_its_password() -> None:
    """A log line or a traceback with an account in it gives nothing away."""
    assert repr(Account("ada", "secret")) == "Account(login='ada')"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 is not the header row"),
        ("ada,hidden\n", "line 1 is not the header row"),
        ("login,password\n", "it holds no account"),
        ("login,password\nada,hidden\neve\n", "line 3"),
        ("login,password\nada,\n", "line 2"),
        ("login,password\nada,hidden,more\n", "line 2"),
    ],
)
def test_a_wrong_file_is_a_usage_error_without_its_content(tmp_path: Path, text: str, words: str) -> None:
    """The setting, the file and the line are named, and no password."""
    (tmp_path / "accounts.csv").write_text(text)
    with pytest.raises(UsageError) as raised:
        read_accounts(tmp_path / "accounts.csv")
    message = str(raised.value)
    assert [part for part in ("ACCOUNTS_FILE=", words, "Allowed: ", "Next: ") if part not in message] == []
    assert "hidden" not in message


def test_a_token_is_the_only_word_of_its_file(tmp_path: Path) -> None:
    """White space around it does not matter; nothing, or two words, is refused without being shown."""
    file = tmp_path / "token"
    file.write_text("\n abc.def \n")
    assert read_token(file) == "abc.def"
    for text in ("", "Bearer abc.def"):
        file.write_text(text)
        with pytest.raises(UsageError, match="TOKEN_FILE=") as raised:
            read_token(file)
        assert "abc.def" not in str(raised.value)


def test_both_files_are_checked_before_a_run(tmp_path: Path) -> None:
    """A file that is missing, or not text, is named with its setting."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    credentials.check(Config.load({}, environ={}))
    for setting, path, reason in (
        ("accounts_file", "/nowhere", "No such file"),
        ("token_file", "/nowhere", "No such file"),
        ("token_file", str(tmp_path / "binary"), "not UTF-8"),
    ):
        with pytest.raises(UsageError, match=f"{setting.upper()}={path}.*{reason}"):
            credentials.check(Config.load({setting: path}, environ={}))


def test_what_is_not_set_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the settings there are no accounts, and no header."""
    for setting in ("LOADTEST_ACCOUNTS_FILE", "LOADTEST_TOKEN_FILE"):
        monkeypatch.delenv(setting, raising=False)
    for cached in (credentials.accounts, credentials.bearer_headers):
        cached.cache_clear()
    assert (credentials.accounts(), credentials.bearer_headers()) == ((), {})


def test_the_settings_name_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario's accounts and token are those of the files."""
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
