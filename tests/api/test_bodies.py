"""What a request brings: its secrets are wrapped as it is read, and no body shows what it holds."""

import msgspec
import pytest

from tool_agentd.api.accounts import IdentityBody
from tool_agentd.api.actions import ActionBody
from tool_agentd.api.agent import UnlockBody
from tool_agentd.api.answers import Answer
from tool_agentd.api.api_keys import KeysBody
from tool_agentd.api.call import Body, decoded
from tool_agentd.api.face import AsBody
from tool_agentd.api.logins import InputBody, LoginBody
from tool_agentd.errors import InvalidRequestError

VALUE = "hunter2-hunter2"
OWN = {"variable": "CRE_API_KEY", "value": VALUE, "values": {"CRE_API_KEY": VALUE}}

BODIES: list[tuple[type[Body], object]] = [
    (UnlockBody, {"passphrase": VALUE}),
    (InputBody, {"inputs": {"secret": VALUE}}),
    (LoginBody, {"inputs": {"secret": VALUE}, "credential": OWN}),
    (ActionBody, {"inputs": {"password": VALUE}, "credential": OWN}),
    (IdentityBody, {"credential": OWN}),
    (KeysBody, {"credential": OWN}),
    (AsBody, {"words": ["auth", "login", VALUE], "env": {"CRE_API_KEY": VALUE}}),
]


@pytest.mark.parametrize(("shape", "document"), BODIES)
def test_no_body_shows_what_it_holds(shape: type[Body], document: object) -> None:
    """Neither printed nor in an error; and what it holds is wrapped, but for a command's words."""
    body = decoded(msgspec.json.encode(document), shape)
    for text in (repr(body), str(body), f"{body}", repr([body]), str(ValueError(body))):
        assert VALUE not in text
    fields = [getattr(body, name) for name in body.__struct_fields__]
    assert VALUE not in repr([one for one in fields if not isinstance(one, list)])


@pytest.mark.parametrize("wrong", [{"passphrase": 7}, {"passphrase": None}, {"passphrase": {}}])
def test_a_secret_has_to_be_text(wrong: object) -> None:
    """Anything else is refused by place, without a value."""
    with pytest.raises(InvalidRequestError, match=r"Expected str.*\$\.passphrase"):
        decoded(msgspec.json.encode(wrong), UnlockBody)


def test_an_answer_does_not_show_itself() -> None:
    """It may be a credential."""
    assert VALUE not in repr(Answer({"access_token": VALUE}, VALUE, VALUE, VALUE))
