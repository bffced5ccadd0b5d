"""Arguments and attributes of other clients that this one lacks are refused by name, never ignored."""

import pytest

from loadtest.clients.http import HttpUser
from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.http.refused import ARGUMENTS, ATTRIBUTES
from loadtest.exceptions import UsageError
from tests.http_harness import ScriptedServer, always, error_classes, ok, running_user


@pytest.mark.parametrize("argument", [*ARGUMENTS, "no_such"])
@pytest.mark.parametrize("call", ["get", "post", "head"])
def test_an_argument_of_another_client_is_refused_and_counted(argument, call):
    """The call raises one sentence with the alternative, counts as a failure, and sends nothing."""
    with ScriptedServer(always(ok())) as server, running_user(server.url) as user:
        with pytest.raises(InvalidRequestError, match=f"no argument '{argument}': .{{10,}}"):
            getattr(user.client, call)("/", **{argument: False})
        assert error_classes(user) == {"exception": 1}
        assert server.connections == 0


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_without_effect_is_refused_at_class_definition_and_in_an_instance(attribute):
    """A class or instance that sets an attribute of other clients is refused; the stock default is accepted."""
    with pytest.raises(UsageError, match=f"Proxied.{attribute} = 7 has no effect here: .{{10,}}"):
        type("Proxied", (HttpUser,), {attribute: 7})
    stock = type("Stock", (HttpUser,), {attribute: ATTRIBUTES[attribute][0], "abstract": True})

    def init(self, environment):
        setattr(self, attribute, 7)
        stock.__init__(self, environment)

    with pytest.raises(UsageError, match=attribute), running_user("http://h", stock, __init__=init):
        pass
