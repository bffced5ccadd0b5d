"""An education service: accounts, a dashboard, an assistant, a library with collections, and a help centre.

A student's account, collections and list of threads are one RedisJSON document, and each thread is another. The data
that all students share is in `target_app.education_data`.
"""

import secrets
from typing import Annotated, Any, NoReturn

import orjson
from flask import Blueprint, Response, abort
from pydantic import Field

from target_app import accounts, education_data, extensions, inputs, responses, sessions
from target_app.openapi import array_of, described, json_object
from target_app.store_errors import UnknownKeyError

blueprint = Blueprint("education", __name__, url_prefix="/api")

ROOM = "education"
_PAGE = 10
_MAX_COLLECTIONS = 50
_MAX_THREADS = 20
_MAX_MESSAGES = 50
"""How many of each a student keeps; a new one replaces the oldest."""

Page = Annotated[int, Field(ge=1, le=1_000)]
Words = Annotated[str, Field(min_length=1, max_length=100, examples=["algebra quiz"])]
Title = Annotated[str, Field(min_length=1, max_length=100, examples=["For the exam"])]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}
_ITEM = json_object(id=_COUNT, title=_TEXT, subject=_TEXT, kind=_TEXT, level=_TEXT, minutes=_COUNT, summary=_TEXT)
_ITEMS = json_object(total=_COUNT, page=_COUNT, items=array_of(_ITEM))
_COLLECTION = json_object(id=_TEXT, title=_TEXT, items=array_of(_COUNT))
_THREAD = json_object(id=_TEXT, title=_TEXT)
_MESSAGE = {"from": _TEXT, "text": _TEXT}


class SignUp(inputs.Strict):
    """A new student."""

    email: inputs.Email
    password: inputs.Password
    name: str = Field(min_length=1, max_length=80, examples=["Ada Lovelace"])


class SignIn(inputs.Strict):
    """The sign-in of a student who has an account."""

    email: inputs.Email
    password: inputs.Password


class Refresh(inputs.Strict):
    """A refresh token to exchange."""

    refresh: str = Field(min_length=1, max_length=1_000)


class Search(inputs.Strict):
    """A search of the library."""

    q: Words
    page: Page = 1


class LibraryPage(inputs.Strict):
    """A page of the library, or of one of its subjects."""

    subject: str | None = Field(default=None, pattern=f"^({'|'.join(education_data.SUBJECTS)})$")
    page: Page = 1


class NewCollection(inputs.Strict):
    """A collection: library items under a title."""

    title: Title
    items: list[Annotated[int, Field(ge=0, lt=education_data.ITEMS)]] = Field(
        min_length=1, max_length=20, examples=[[1, 2, 3]]
    )


class Message(inputs.Strict):
    """A message to the assistant, in a new thread or an existing one."""

    message: str = Field(min_length=1, max_length=2_000, examples=["What is a prime number?"])
    thread: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")


class HelpSearch(inputs.Strict):
    """A search of the help articles; without words, all of them."""

    q: Words | None = None


class Contact(inputs.Strict):
    """A message to the support team."""

    name: str = Field(min_length=1, max_length=80, examples=["Ada Lovelace"])
    email: inputs.Email
    subject: Title
    message: str = Field(min_length=1, max_length=5_000, examples=["I cannot find the geometry quiz."])


# accounts


@blueprint.post("/accounts/sign-up/")
@described(body=SignUp, status=201, answer=json_object(email=_TEXT, name=_TEXT), problems=(409,))
def sign_up() -> Response:
    """Create an account; the e-mail address must be new."""
    student = inputs.body(SignUp)
    more = {"name": student.name, "collections": [], "threads": []}
    if accounts.create(ROOM, student.email, student.password.get_secret_value(), more) is None:
        abort(409, f'"email" {student.email!r} already has an account: sign in.')
    return responses.json({"email": student.email, "name": student.name}, 201)


@blueprint.post("/accounts/sign-in/")
@described(body=SignIn, answer=sessions.PAIR, problems=(401,))
def sign_in() -> Response:
    """Begin a session with e-mail address and password."""
    student = inputs.body(SignIn)
    account = accounts.key(ROOM, accounts.identity(student.email))
    if not accounts.check(account, student.password.get_secret_value()):
        sessions.refuse("E-mail address or password is wrong.")
    return responses.json(sessions.begin(account))


@blueprint.post("/accounts/token/refresh/")
@described(body=Refresh, answer=sessions.PAIR, problems=(401,))
def refresh() -> Response:
    """Exchange a refresh token, which cannot be used again, for new tokens."""
    return responses.json(sessions.refresh(inputs.body(Refresh).refresh))


# dashboard


@blueprint.get("/dashboard/")
@described(signed_in=True, answer=json_object(name=_TEXT, collections=_COUNT, threads=_COUNT, suggested=_ITEM))
def dashboard() -> Response:
    """Show a student's number of threads and collections, and suggest an item."""
    account = sessions.account(ROOM)
    name, collections, threads = _read_student(
        ("JSON.GET", account, "$.name"),
        ("JSON.ARRLEN", account, "$.collections"),
        ("JSON.ARRLEN", account, "$.threads"),
    )
    return responses.json(
        {
            "name": orjson.loads(name)[0],
            "collections": collections[0],
            "threads": threads[0],
            "suggested": orjson.Fragment(education_data.any_item()),
        }
    )


@blueprint.get("/dashboard/v2/search/")
@described(signed_in=True, query=Search, answer=_ITEMS)
def search() -> Response:
    """Find the library items that contain all the words of `q`, a page at a time."""
    sessions.account(ROOM)
    wanted = inputs.query(Search)
    lists = [education_data.numbers_of_word(word) for word in education_data.words(wanted.q)]
    found = [number for number in lists[0] if all(number in other for other in lists)] if lists else []
    return _page(found, wanted.page)


# assistant


@blueprint.get("/ai-assistant/tools-and-template/")
@described(signed_in=True, answer=array_of(json_object(id=_COUNT, name=_TEXT, template=_TEXT)))
def tools_and_template() -> Response:
    """List the assistant's tools with their templates."""
    sessions.account(ROOM)
    return responses.raw(education_data.tools())


@blueprint.get("/ai-assistant/random-mystery-box/")
@described(signed_in=True, answer=_ITEM)
def random_mystery_box() -> Response:
    """Show a random item of the library."""
    sessions.account(ROOM)
    return responses.raw(education_data.any_item())


@blueprint.get("/ai-assistant/chat/thread/")
@described(signed_in=True, answer=array_of(_THREAD))
def list_threads() -> Response:
    """List a student's latest threads."""
    account = sessions.account(ROOM)
    return responses.raw(_read_student(("JSON.GET", account, "$.threads[*]"))[0])


@blueprint.post("/ai-assistant/chat/thread/")
@described(
    signed_in=True,
    body=Message,
    status=201,
    answer=json_object(thread=_TEXT, reply=json_object(**_MESSAGE)),
    problems=(404,),
)
def chat() -> Response:
    """Send a message to the assistant, in a new thread or in one of the latest."""
    account = sessions.account(ROOM)
    sent = inputs.body(Message)
    thread = sent.thread or secrets.token_hex(8)
    key = f"{account}:thread:{thread}"
    reply = {"from": "assistant", "text": f"Let us look at it together: {sent.message[:200]}"}
    messages = [{"from": "student", "text": sent.message}, reply]
    if sent.thread:
        try:
            extensions.store().append_latest(key, "$.messages", messages, _MAX_MESSAGES)
        except UnknownKeyError:
            abort(404, f'"thread" {thread!r} is not one of yours: leave it out to begin a new one.')
    else:
        title = {"id": thread, "title": sent.message[:80]}
        _append_to_student(account, "$.threads", title, _MAX_THREADS)
        extensions.store().create(key, orjson.dumps({"messages": messages}), accounts.KEPT_S)
    return responses.json({"thread": thread, "reply": reply}, 201)


# library and collections


@blueprint.get("/ai-assistant/library/")
@described(signed_in=True, query=LibraryPage, answer=_ITEMS)
def library() -> Response:
    """Show the library, or one subject of it, a page at a time."""
    sessions.account(ROOM)
    wanted = inputs.query(LibraryPage)
    if wanted.subject is None:
        return _page(range(education_data.ITEMS), wanted.page)
    return _page(education_data.numbers_of_subject(wanted.subject), wanted.page)


@blueprint.get("/ai-assistant/my-collection/")
@described(signed_in=True, answer=array_of(_COLLECTION))
def my_collection() -> Response:
    """List a student's latest collections."""
    account = sessions.account(ROOM)
    return responses.raw(_read_student(("JSON.GET", account, "$.collections[*]"))[0])


@blueprint.post("/ai-assistant/create-collection/")
@described(signed_in=True, body=NewCollection, status=201, answer=_COLLECTION)
def create_collection() -> Response:
    """Create a collection of library items under a title."""
    account = sessions.account(ROOM)
    wanted = inputs.body(NewCollection)
    collection = {"id": secrets.token_hex(8), "title": wanted.title, "items": wanted.items}
    _append_to_student(account, "$.collections", collection, _MAX_COLLECTIONS)
    return responses.json(collection, 201)


# help centre


@blueprint.get("/help-center/help-articles/")
@described(query=HelpSearch, answer=array_of(json_object(id=_COUNT, title=_TEXT, text=_TEXT)))
def help_articles() -> Response:
    """List the help articles that contain all the words of `q`; without `q`, all of them."""
    wanted = set(education_data.words(inputs.query(HelpSearch).q or ""))
    articles = education_data.articles()
    if not wanted:
        return responses.raw(articles)
    found = [
        article
        for article in orjson.loads(articles)
        if wanted <= set(education_data.words(f"{article['title']} {article['text']}"))
    ]
    return responses.json(found)


@blueprint.post("/help-center/contact-us/")
@described(body=Contact, status=201, answer=json_object(id=_TEXT))
def contact_us() -> Response:
    """Send a message to the support team."""
    message = inputs.body(Contact)
    number = secrets.token_hex(8)
    key = f"{accounts.key(ROOM, accounts.identity(message.email))}:letter:{number}"
    extensions.store().create(key, orjson.dumps(message.model_dump()), accounts.KEPT_S)
    return responses.json({"id": number}, 201)


def _page(numbers: "range | list[int]", page: int) -> Response:
    chosen = numbers[(page - 1) * _PAGE : page * _PAGE]
    items = education_data.items(chosen)
    return responses.json({"total": len(numbers), "page": page, "items": [orjson.Fragment(item) for item in items]})


def _read_student(*commands: tuple[str, ...]) -> list[Any]:
    """Read parts of a student's document in one step; 401 if the account no longer exists."""
    try:
        replies = extensions.store().together(*commands)
    except UnknownKeyError:
        _gone()
    if replies[0] is None:
        _gone()
    return replies


def _append_to_student(account: str, path: str, value: object, most: int) -> None:
    """Append to a list in a student's document and keep the latest; 401 if the account no longer exists."""
    try:
        extensions.store().append_latest(account, path, [value], most)
    except UnknownKeyError:
        _gone()


def _gone() -> NoReturn:
    sessions.refuse("The account no longer exists: sign up again.")
