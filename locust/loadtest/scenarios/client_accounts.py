"""Clients who register, and clients who log in.

Each request makes the service compute a password hash, which takes CPU time by design. `LOCUST_TAGS=login` runs logins
only,
`LOCUST_TAGS=registration` registrations only; the profiles normal, heavy, spike, baseline, login-stress and
breaking-point are made for them.
"""

import secrets

from locust import between, tag, task

from loadtest.scenarios import Account, Scenario, _sample_accounts, accounts
from loadtest.scenarios._run_mark import present_mark
from loadtest.scenarios._users import HttpUser
from target_app.client_accounts import ROOM, name_key

NAME = "client_accounts"


class ClientUser(HttpUser):
    """A client: logs in with an account of ACCOUNTS_FILE, or with the one that it registered first."""

    scenario = NAME
    wait_time = between(1, 3)
    _account: Account | None = None
    _mark = ""

    def on_start(self) -> None:
        """Get the mark of the run, which registered clients carry."""
        self._mark = present_mark(self.environment)

    @tag("registration")
    @task(1)
    def register(self) -> None:
        """Register a new client."""
        self._registered()

    @tag("login")
    @task(3)
    def log_in(self) -> None:
        """Log in; without ACCOUNTS_FILE, register before the first login."""
        if self._account is None:
            self._account = secrets.choice(accounts()) if accounts() else self._registered()
        form = {"email": self._account.login, "password": self._account.password}
        self.client.post("/client_login", data=form, name="client_accounts/login")

    def _registered(self) -> Account:
        account = _sample_accounts.new_account(self._mark, "clients.example")
        form = {
            "fullName": "A Client",
            "userName": _name_of(account.login),
            "email": account.login,
            "password": account.password,
            "phone": "+00 000 0000000",
        }
        self.client.post("/client_registeration", data=form, name="client_accounts/register")
        return account


def _name_of(email: str) -> str:
    return email.partition("@")[0]


def remove_data(redis_url: str, run_id: str) -> int:
    """Remove the clients that the users of a run registered, and return the number of keys.

    Raises:
        StackError: Redis is unreachable.
    """
    return _sample_accounts.remove(redis_url, ROOM, run_id, lambda email: name_key(_name_of(email)))


scenario = Scenario(
    name=NAME,
    user_classes=(ClientUser,),
    requests=(("POST", "client_accounts/register"), ("POST", "client_accounts/login")),
    remove_data=remove_data,
)
