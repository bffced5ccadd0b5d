"""Registration and login of clients, with forms or JSON. The path `/client_registeration` (sic) is part of the API."""

from typing import Annotated

import orjson
from flask import Blueprint, Response, abort
from pydantic import BaseModel, Field, model_validator

from target_app import accounts, extensions, inputs, responses, sessions
from target_app.openapi import described, json_object
from target_app.store import PRIVATE
from target_app.store_errors import UnknownKeyError

blueprint = Blueprint("client_accounts", __name__)

ROOM = "client"
_BODIES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")

UserName = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{3,64}$", examples=["ada"])]


class Registration(BaseModel):
    """A new client."""

    fullName: str = Field(min_length=1, max_length=120, examples=["Ada Lovelace"])  # noqa: N815 - as on the wire
    userName: UserName  # noqa: N815
    email: inputs.Email
    password: inputs.Password
    phone: str = Field(pattern=r"^[+]?[0-9 ()-]{7,24}$", examples=["+44 20 7946 0000"])


class Login(BaseModel):
    """The login of a registered client, by e-mail address, user name or both."""

    userName: UserName | None = None  # noqa: N815
    email: inputs.Email | None = Field(default=None, examples=["ada@example.com"])
    password: inputs.Password

    @model_validator(mode="after")
    def _identifies_a_client(self) -> "Login":
        if not (self.userName or self.email):
            raise ValueError('"userName" or "email" is required')
        return self


@blueprint.post("/client_registeration")
@described(body=Registration, body_types=_BODIES, answer=json_object(msg={"type": "string"}), problems=(409,))
def register() -> Response:
    """Register a client; its user name and its e-mail address must be new."""
    client = inputs.form_or_json(Registration)
    key_of_name = name_key(client.userName)
    store = extensions.store()
    if not store.create(key_of_name, orjson.dumps(accounts.identity(client.email)), accounts.KEPT_S):
        abort(409, f'"userName" {client.userName!r} is taken: choose another.')
    more = {"userName": client.userName, "fullName": client.fullName, "phone": client.phone}
    if accounts.create(ROOM, client.email, client.password.get_secret_value(), more) is None:
        store.delete(key_of_name)
        abort(409, f'"email" {client.email!r} is registered already: log in.')
    return responses.json({"msg": "User Registered"})


@blueprint.post("/client_login")
@described(
    body=Login,
    body_types=_BODIES,
    answer=json_object(msg={"type": "string"}, **sessions.ACCESS),
    problems=(401,),
)
def log_in() -> Response:
    """Log a client in, by e-mail address or user name and password."""
    login = inputs.form_or_json(Login)
    account = _account_of(login)
    if not accounts.check(account, login.password.get_secret_value()):
        sessions.refuse("E-mail address, user name or password is wrong.")
    return responses.json({"msg": "Login successful", **sessions.access(account)})


def _account_of(login: Login) -> str:
    """Return the key of the account that a login names; a key without an account if its two names do not match."""
    known_as = accounts.identity(login.email) if login.email else None
    if login.userName:
        try:
            named = orjson.loads(extensions.store().read(name_key(login.userName)))
        except UnknownKeyError:
            named = ""
        known_as = named if known_as in {None, named} else ""
    return accounts.key(ROOM, known_as or "")


def name_key(user_name: str) -> str:
    """Return the key of a user name, without the store's prefix."""
    return f"{PRIVATE}{ROOM}:name:{accounts.identity(user_name)}"
