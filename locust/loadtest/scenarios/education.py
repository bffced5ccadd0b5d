"""An education service: students with one session each, who move from one part to the next.

Five task sets, weighted 1:3:2:2:1. Each is a visit: a few steps in order, then `interrupt`, so that the user can choose
another visit; without it the user would stay in its first visit forever. The think time between two steps is 1 to 3 s.
The access token is renewed before it expires.
"""

import random
import secrets
import time
from http import HTTPStatus
from typing import Any, cast

from locust import SequentialTaskSet, between, task
from locust.exception import RescheduleTask

from loadtest.scenarios import Account, Scenario, _sample_accounts, accounts
from loadtest.scenarios._run_mark import present_mark
from loadtest.scenarios._users import HttpUser
from target_app.education import ROOM

NAME = "education"

_SUBJECTS = ("algebra", "biology", "chemistry", "geometry", "grammar", "history", "physics")
_WORDS = ("quiz", "lesson", "video", "project", "worksheet")
_PAGES = 2
_RENEW_AFTER = 0.9
"""The share of its lifetime after which an access token is renewed, so that it does not expire during a request."""


class Session:
    """A student's tokens.

    Attributes:
        account: the student's account.
    """

    def __init__(self, client: Any, account: Account) -> None:
        self.account = account
        self._client = client
        self._access: str | None = None
        self._refresh = ""
        self._renew_at_s = 0.0

    def sign_up(self) -> None:
        """Create the account."""
        body = {"email": self.account.login, "password": self.account.password, "name": "A Student"}
        self._client.post("/api/accounts/sign-up/", json=body, name="education/sign_up")

    def sign_in(self) -> None:
        """Sign in with the password."""
        body = {"email": self.account.login, "password": self.account.password}
        self._keep_tokens(self._client.post("/api/accounts/sign-in/", json=body, name="education/sign_in"))

    def refresh(self) -> None:
        """Exchange the refresh token for new tokens; sign in again if it is refused."""
        body = {"refresh": self._refresh}
        self._keep_tokens(self._client.post("/api/accounts/token/refresh/", json=body, name="education/refresh"))
        if self._access is None:
            self.sign_in()

    def headers(self) -> dict[str, str]:
        """Return the header with a valid access token.

        Raises:
            RescheduleTask: the sign-in failed, which has been counted.
        """
        if self._access is None:
            self.sign_in()
        elif time.monotonic() > self._renew_at_s:
            self.refresh()
        if self._access is None:
            raise RescheduleTask
        return {"Authorization": f"Bearer {self._access}"}

    def _keep_tokens(self, response: Any) -> None:
        self._access = None
        if response.status_code == HTTPStatus.OK:
            tokens = response.json()
            self._access, self._refresh = tokens["access"], tokens["refresh"]
            self._renew_at_s = time.monotonic() + tokens["expires_in_s"] * _RENEW_AFTER


class _Visit(SequentialTaskSet):
    """The common base of visits: requests as the signed-in student."""

    @property
    def session(self) -> Session:
        """The student's session, the same in all visits."""
        return cast("StudentUser", self.user).session

    def get(self, path: str, name: str) -> Any:
        """Send a read as the student."""
        headers = self.session.headers()
        return self.client.get(f"/api/{path}", headers=headers, name=f"education/{name}")

    def post(self, path: str, name: str, body: dict[str, Any]) -> Any:
        """Send a write as the student."""
        headers = self.session.headers()
        return self.client.post(f"/api/{path}", headers=headers, json=body, name=f"education/{name}")

    def end(self) -> None:
        """End this visit; after a pause the student chooses another.

        Raises:
            InterruptTaskSet: always.
        """
        self.interrupt(reschedule=False)  # type: ignore[no-untyped-call]


class AccountVisit(_Visit):
    """Sign in again, and renew the session."""

    @task
    def sign_in(self) -> None:
        """Sign in again, as on another day."""
        self.session.sign_in()

    @task
    def renew(self) -> None:
        """Renew the session before it is needed."""
        self.session.refresh()
        self.end()


class DashboardVisit(_Visit):
    """Visit the dashboard, and search from there."""

    @task
    def dashboard(self) -> None:
        """Open the dashboard."""
        self.get("dashboard/", "dashboard")

    @task
    def search(self) -> None:
        """Search for two words."""
        self.get(f"dashboard/v2/search/?q={random.choice(_SUBJECTS)}+{random.choice(_WORDS)}", "search")  # noqa: S311

    @task
    def search_again(self) -> None:
        """Search for one word and end the visit."""
        page = random.randint(1, _PAGES)  # noqa: S311
        self.get(f"dashboard/v2/search/?q={random.choice(_SUBJECTS)}&page={page}", "search")  # noqa: S311
        self.end()


class AssistantVisit(_Visit):
    """Talk to the assistant."""

    @task
    def tools(self) -> None:
        """List its tools."""
        self.get("ai-assistant/tools-and-template/", "tools_and_template")

    @task
    def mystery_box(self) -> None:
        """Open the mystery box."""
        self.get("ai-assistant/random-mystery-box/", "random_mystery_box")

    @task
    def chat(self) -> None:
        """Begin a thread, and reply in it."""
        path, name = "ai-assistant/chat/thread/", "chat"
        begun = self.post(path, name, {"message": f"What is {random.choice(_SUBJECTS)}?"})  # noqa: S311
        if begun.status_code == HTTPStatus.CREATED:
            self.post(path, name, {"message": "And more of it?", "thread": begun.json()["thread"]})

    @task
    def threads(self) -> None:
        """Look at the latest threads and end the visit."""
        self.get("ai-assistant/chat/thread/", "threads")
        self.end()


class LibraryVisit(_Visit):
    """Browse the library and collect items."""

    @task
    def library(self) -> None:
        """Open a subject's page, and collect what is on it."""
        page = random.randint(1, _PAGES)  # noqa: S311
        path = f"ai-assistant/library/?subject={random.choice(_SUBJECTS)}&page={page}"  # noqa: S311
        shown = self.get(path, "library")
        if shown.status_code == HTTPStatus.OK:
            body = {"title": "For the exam", "items": [item["id"] for item in shown.json()["items"]]}
            self.post("ai-assistant/create-collection/", "create_collection", body)

    @task
    def collections(self) -> None:
        """Look at the collections and end the visit."""
        self.get("ai-assistant/my-collection/", "my_collection")
        self.end()


class HelpVisit(_Visit):
    """Look for help."""

    @task
    def articles(self) -> None:
        """Search the articles."""
        self.client.get("/api/help-center/help-articles/?q=password", name="education/help_articles")

    @task
    def contact(self) -> None:
        """Contact the help centre and end the visit."""
        letter = {
            "name": "A Student",
            "email": self.session.account.login,
            "subject": "Where is it?",
            "message": "I cannot find the geometry quiz.",
        }
        self.client.post("/api/help-center/contact-us/", json=letter, name="education/contact_us")
        self.end()


class StudentUser(HttpUser):
    """A student: signs up with a new account, or uses one of ACCOUNTS_FILE."""

    scenario = NAME
    wait_time = between(1, 3)
    tasks = {  # type: ignore[assignment]  # noqa: RUF012 - Locust makes a list of it
        AccountVisit: 1,
        DashboardVisit: 3,
        AssistantVisit: 2,
        LibraryVisit: 2,
        HelpVisit: 1,
    }
    session: Session

    def on_start(self) -> None:
        """Get an account, and sign in."""
        if accounts():
            self.session = Session(self.client, secrets.choice(accounts()))
        else:
            account = _sample_accounts.new_account(present_mark(self.environment), "students.example")
            self.session = Session(self.client, account)
            self.session.sign_up()
        self.session.sign_in()


_POSTS = ("sign_up", "sign_in", "refresh", "chat", "create_collection", "contact_us")
_GETS = (
    "dashboard",
    "search",
    "tools_and_template",
    "random_mystery_box",
    "threads",
    "library",
    "my_collection",
    "help_articles",
)


def remove_data(redis_url: str, run_id: str) -> int:
    """Remove the students who signed up in a run, with all that is theirs, and return the number of keys.

    Raises:
        StackError: Redis is unreachable.
    """
    return _sample_accounts.remove(redis_url, ROOM, run_id)


scenario = Scenario(
    name=NAME,
    user_classes=(StudentUser,),
    requests=(
        *(("POST", f"education/{name}") for name in _POSTS),
        *(("GET", f"education/{name}") for name in _GETS),
    ),
    remove_data=remove_data,
)
