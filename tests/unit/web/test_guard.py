"""The guard of the web UI with TLS, and its reach; tests/native attacks a running one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from locust import User
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment
from werkzeug.test import Client

from loadtest.exceptions import UsageError
from loadtest.settings.config import Config
from loadtest.settings.credentials import read_secret
from loadtest.web import guard

PASSWORD = "correct horse battery staple"  # noqa: S105


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """A factory of clients for a guarded web UI that does not listen."""
    monkeypatch.setattr("sys.argv", ["locust"])  # Locust reads them for its page

    def made(tls: bool) -> Client:
        (tmp_path / "password").write_text(PASSWORD)
        parser = get_empty_argument_parser()
        setup_parser_arguments(parser)
        environment = Environment(user_classes=[type("Idle", (User,), {})], parsed_options=parser.parse(args=[]))
        environment.create_local_runner()
        pair = ("cert.pem", "key.pem") if tls else (None, None)
        web_ui = environment.create_web_ui("127.0.0.1", 0, tls_cert=pair[0], tls_key=pair[1], delayed_start=True)
        guard.start(environment, Config(web_password_file=tmp_path / "password"))
        made_clients.append(environment)
        return web_ui.app.test_client()

    made_clients: list[Environment] = []
    yield made
    for environment in made_clients:
        environment.runner.quit()


@pytest.mark.parametrize("tls", [False, True])
def test_the_cookie_stays_on_the_encrypted_connection(client: Callable[..., Client], tls: bool) -> None:
    """With TLS the cookie is Secure and HSTS is sent; an Origin without TLS is foreign."""
    scheme = "https" if tls else "http"
    ours, other = f"{scheme}://localhost", f"{'http' if tls else 'https'}://localhost"
    web = client(tls)
    answer = web.post("/login", base_url=ours, data={"password": PASSWORD}, headers={"Origin": ours})
    assert answer.status_code == 302
    assert tls == ("Secure" in answer.headers["Set-Cookie"].split("; "))
    assert tls == ("Strict-Transport-Security" in answer.headers)
    assert web.post("/login", base_url=ours, data={"password": PASSWORD}, headers={"Origin": other}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_password(host: str) -> None:
    """On loopback, in a private network, or with a password, the web UI may start."""
    guard.check_reach(host, Config())
    guard.check_reach("", Config(private_network=True))
    guard.check_reach("", Config(web_password_file=Path("password")))


@pytest.mark.parametrize("host", ["", "::", "10.0.0.1", "host.example"])
def test_other_machines_need_one(host: str) -> None:
    """It may not start anywhere else."""
    with pytest.raises(UsageError, match=r"without a password.*Allowed: .*Next: "):
        guard.check_reach(host, Config())


@pytest.mark.parametrize(
    "content", [None, b"", b"short", b"x" * 1025, b"two lines of\nenough characters", b"\xff" * 20]
)
def test_a_secret_is_one_line_of_some_length(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, too short, too long, not text or of several lines is refused, and never shown."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"NAME=.*Allowed: .*Next: ") as refused:
        read_secret(file, "NAME", 12)
    assert "xxxx" not in str(refused.value)
    assert "enough" not in str(refused.value)


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    """The line end belongs to the file, not to the secret."""
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    assert read_secret(tmp_path / "secret", "NAME", 12) == PASSWORD
