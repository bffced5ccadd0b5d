"""The target's settings, read from the environment into one frozen object; all errors are reported together."""

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import redis
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

_VARIABLES = {"redis_url": "REDIS_URL"}
_PREFIX = "TARGET_APP_"
_HIGHEST_PORT = 65_535
_SHORTEST_KEY = 16
_HIDDEN = {"secret_key"}
_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")


class SettingsError(Exception):
    """One or more settings are invalid; the text is one paragraph that names each of them."""


def _redis_url(url: str) -> str:
    try:
        options = redis.connection.parse_url(url)
    except ValueError as error:
        raise ValueError("must be redis://[user:password@]host:port/db, rediss://… or unix://…") from error
    if {"cluster", "sentinel"} & set(options):
        raise ValueError("must be the URL of one server: the sample target uses neither a cluster nor Sentinel")
    return url


def _bind(address: str) -> str:
    if address.startswith("unix:/"):
        return address
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= _HIGHEST_PORT:
        raise ValueError("must be host:port with a port from 0 to 65535, [ipv6]:port or unix:/path")
    return address


def _folder(path: Path) -> Path:
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise ValueError("must be an existing folder that this process can write to")
    return path


def _key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < _SHORTEST_KEY:
        raise ValueError(f"must have at least {_SHORTEST_KEY} characters")
    return key


def _key_file(path: Path) -> Path:
    try:
        long_enough = len(path.read_bytes().strip()) >= _SHORTEST_KEY
    except OSError as error:
        raise ValueError(f"must be a readable file ({error.strerror})") from error
    if not long_enough:
        raise ValueError(f"must contain a key of at least {_SHORTEST_KEY} characters")
    return path


class Settings(BaseModel):
    """The target's settings, with their limits.

    Each field is read from `TARGET_APP_<FIELD>`, except `redis_url`, which is read from `REDIS_URL`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    redis_url: Annotated[str, AfterValidator(_redis_url)] = "redis://127.0.0.1:6379/0"
    redis_timeout_s: float = Field(default=2.0, ge=0.05, le=30, allow_inf_nan=False)
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    bind: Annotated[str, AfterValidator(_bind)] = "127.0.0.1:5000"
    workers: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=4, ge=1, le=128)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    tmp_dir: Annotated[Path, AfterValidator(_folder)] = Field(default_factory=lambda: Path(tempfile.gettempdir()))
    secret_key: Annotated[SecretStr, AfterValidator(_key)] | None = None
    secret_key_file: Annotated[Path, AfterValidator(_key_file)] | None = None
    access_token_lifetime_s: int = Field(default=300, ge=1, le=86_400)
    refresh_token_lifetime_s: int = Field(default=86_400, ge=1, le=2_592_000)
    password_cost: int = Field(default=15, ge=10, le=20)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            SettingsError: when one or more values are invalid; all of them are named.
        """
        environment = {name: value for name, value in environment.items() if not _is_service_link(name, value)}
        given = {field: environment.get(_variable(field)) for field in cls.model_fields}
        mistakes = [_unknown(name, cls) for name in environment if _is_unknown(name, cls)]
        try:
            settings = cls.model_validate({field: value for field, value in given.items() if value})
        except ValidationError as error:
            mistakes += [_mistake(item["loc"], item["input"], item["msg"]) for item in error.errors()]
        if mistakes:
            raise SettingsError(
                f"The target cannot start because of invalid settings: {'; '.join(mistakes)}. "
                "Change or unset these environment variables; docs/reference/target_app.md lists what is allowed."
            )
        return settings

    def signing_key(self) -> bytes | None:
        """Return the key that signs tokens, from the file or the environment; None if neither is set.

        Raises:
            OSError: when the file has been removed since the settings were read.
        """
        if self.secret_key_file:
            return self.secret_key_file.read_bytes().strip()
        return self.secret_key.get_secret_value().encode() if self.secret_key else None


def _variable(field: str) -> str:
    return _VARIABLES.get(field, _PREFIX + field.upper())


def _is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes set a variable: every pod gets several for each Service in its namespace.

    Those of a Service ``target-app`` look like settings. See "Environment variables" in Kubernetes' page on Services.
    """
    return bool(_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(value)))


def _is_unknown(name: str, settings: type[BaseModel]) -> bool:
    return name.startswith(_PREFIX) and name not in map(_variable, settings.model_fields)


def _unknown(name: str, settings: type[BaseModel]) -> str:
    nearest = difflib.get_close_matches(name, map(_variable, settings.model_fields), 1)
    return f"{name} is not a setting" + (f", did you mean {nearest[0]}?" if nearest else "")


def _mistake(location: tuple[int | str, ...], value: object, message: str) -> str:
    allowed = message.removeprefix("Value error, ").removeprefix("Input ")
    shown = "wrong" if location[0] in _HIDDEN else repr(str(value))
    return f"{_variable(str(location[0]))} is {shown} but {allowed}"
