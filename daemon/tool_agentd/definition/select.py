"""Values picked from what a provider answers: dotted paths into JSON, claims of a JWT, identity.

What comes from a provider is not trusted to be printable: texts lose their control characters
here, before they can reach a terminal.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from tool_agentd.definition import placeholder
from tool_agentd.definition.vocabulary import Field, IdentitySpec
from tool_agentd.errors import ProviderError
from tool_agentd.model import Identity
from tool_agentd.secret import Secret

TOKEN_MAX = 64 * 1024
"""Characters of a JWT worth reading; servers refuse headers far below that."""
TEXT_MAX = 512
"""Characters of one field: an email address has at most 320."""


class NobodyError(ProviderError):
    """An answer that says of nobody that they are signed in."""


def path(value: Any, dotted: str) -> Any:  # noqa: ANN401 - a JSON value
    """Return what stands at a dotted path of a JSON value; None where nothing does.

    A part that is a number is an index where the value is a list.
    """
    for part in dotted.split("."):
        match value:
            case dict():
                value = value.get(part)
            case list() if part.isascii() and part.isdigit() and int(part[:9]) < len(value):
                value = value[int(part[:9])]
            case _:
                return None
    return value


def claims(token: Secret) -> dict[str, Any]:
    """Return the claims of the agent's own access token, unverified; empty where it is no JWT.

    They serve to show and to schedule, never to decide who somebody is (RFC 9068 leaves the token
    opaque to its client).
    """
    text = token.reveal()
    parts = text.split(".") if len(text) <= TOKEN_MAX else []
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature (RFC 7515 section 3.1)
        return {}
    try:
        raw = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def claim(found: Mapping[str, Any], field: Field) -> Any:  # noqa: ANN401 - a JSON value
    """Return the claim that a field names, wholly or by the end of its name.

    Of several with that end the first by name counts, so that the answer does not depend on the
    order in which the provider writes them.
    """
    if field.claim is not None:
        return found.get(field.claim)
    suffix = field.claim_suffix or ""
    return next((found[name] for name in sorted(found) if name.endswith(suffix)), None)


def claim_time(found: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate claim (RFC 7519 section 2) in Unix seconds; None where it is none."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A number too large for a float is no date.
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None  # noqa: PLR2004 - see above


def text_of(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """Return a JSON value as text that a terminal may show; empty for null, objects and lists."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            text = str(value)[:TEXT_MAX]
            return "".join(sign if sign.isprintable() else "?" for sign in text)
        case _:
            return ""


def read_identity(
    spec: IdentitySpec,
    reply_json: Any,  # noqa: ANN401 - a JSON value
    claims: Mapping[str, Any],
    kept: Mapping[str, str] | None = None,
) -> tuple[Identity, dict[str, str], str]:
    """Return who the provider says this is: the identity, its fields, and what `whoami` prints.

    `kept` is what the login has kept of its own reply.

    Raises:
        NobodyError: the reply says neither a name nor an identifier, so that it does not prove
            that the credential is accepted (a GraphQL error comes with status 200).
    """
    fields: dict[str, str] = {}
    for key, field in spec.fields.items():
        fields[key] = _field(
            Field(path=field) if isinstance(field, str) else field, reply_json, claims, kept or {}
        )
    who = {}
    for role in (spec.name, spec.subject):
        who[role] = fields[role] if role in fields else text_of(path(reply_json, role))
    if not any(who.values()):
        raise NobodyError("the provider's answer does not say whose credential this is")
    identity = Identity(name=who[spec.name], subject=who[spec.subject])
    if spec.text is None:
        return identity, fields, identity.name or identity.subject
    return identity, fields, placeholder.substitute(_text(spec.text, fields), fields)


def _text(texts: str | list[str], fields: Mapping[str, str]) -> str:
    """Return the first text whose fields are all there; the last where none is."""
    if isinstance(texts, str):
        return texts
    whole = (text for text in texts if all(fields.get(name) for name in placeholder.names(text)))
    return next(whole, texts[-1] if texts else "")


def answers_itself(spec: IdentitySpec) -> bool:
    """Tell whether a definition answers from what the login has kept, and asks nobody.

    It says so by having no request and nothing but kept fields, the name and the subject among
    them.
    """
    fields = spec.fields.values()
    whole = bool(fields) and all(isinstance(one, Field) and one.kept is not None for one in fields)
    return spec.request is None and whole and {spec.name, spec.subject} <= spec.fields.keys()


def _field(
    field: Field,
    reply_json: Any,  # noqa: ANN401 - a JSON value
    found: Mapping[str, Any],
    kept: Mapping[str, str],
) -> str:
    if field.kept is not None:
        text = text_of(kept.get(field.kept))
    elif field.path is not None:
        text = text_of(path(reply_json, field.path))
    else:
        text = text_of(claim(found, field))
    if field.equals is None:
        return text
    return (field.then if text == field.equals else field.otherwise) or ""
