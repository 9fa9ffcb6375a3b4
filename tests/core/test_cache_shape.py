"""The shape of what is written of a platform's answer, and what may be done to its values."""

import json
from typing import Any

import msgspec
import pytest

from tests.core.test_tools import tool
from tests.platforms.graphql import parse, select
from tool_agentd.definition.cache_shape import shaped
from tool_agentd.definition.delivery import CacheSpec
from tool_agentd.definition.transforms import TRANSFORMS, transformed

SELECTOR = "16015286601757825753"
ADDRESS = "0x1234567890abcdef1234567890abcdef1234abcd"
TENANT: dict[str, Any] = {
    "tenantId": "42",
    "defaultDonFamily": "zone-a",
    "vaultGatewayUrl": "https://vault.example",
    "capabilitiesRegistry": {"chainSelector": SELECTOR, "address": "0xc0ffee"},
    "registries": [
        {
            "id": "ethereum-testnet-sepolia",
            "label": "Sepolia",
            "type": "ON_CHAIN",
            "chainSelector": SELECTOR,
            "address": ADDRESS,
            "secretsAuthFlows": ["OWNER_KEY_SIGNING", "BROWSER", "CARRIER_PIGEON"],
        },
        {
            "id": "private",
            "label": "Private registry",
            "type": "OFF_CHAIN",
            "chainSelector": None,
            "address": None,
            "secretsAuthFlows": ["BROWSER"],
        },
        {
            "id": "new",
            "label": "Not deployed yet",
            "type": "ON_CHAIN",
            "chainSelector": SELECTOR,
            "address": None,
            "secretsAuthFlows": [],
        },
    ],
    "forwarders": [{"chainSelector": SELECTOR, "address": "0xc0ffee"}],
}
"""An answer to `getTenantConfig`."""


def test_cres_tenant_context_has_the_shape_of_its_file() -> None:
    """As its sources write it: upper-case environment, `onchain:` ids, shortened labels."""
    spec = tool("cre", {"CRE_CLI_ENV": "staging"}).cache["tenant"]
    query = spec.request.json["query"]
    answer = {"data": select({"getTenantConfig": TENANT}, parse(query), "Query")}
    assert answer == {"data": {"getTenantConfig": TENANT}}, "everything is asked for"
    assert shaped(spec, TENANT) == {
        "STAGING": {
            "tenant_id": "42",
            "default_don_family": "zone-a",
            "vault_gateway_url": "https://vault.example",
            "capabilities_registry": {"chain_selector": int(SELECTOR), "address": "0xc0ffee"},
            "registries": [
                {
                    "id": "onchain:ethereum-testnet-sepolia",
                    "label": "ethereum-testnet-sepolia (0x1234...abcd)",
                    "type": "on-chain",
                    "chain_selector": SELECTOR,
                    "address": ADDRESS,
                    "secrets_auth_flows": ["owner-key-signing", "browser"],
                },
                {
                    "id": "private",
                    "label": "Private registry",
                    "type": "off-chain",
                    "secrets_auth_flows": ["browser"],
                },
                {
                    "id": "onchain:new",
                    "label": "Not deployed yet",
                    "type": "on-chain",
                    "chain_selector": SELECTOR,
                },
            ],
            "forwarders": [{"chain_selector": int(SELECTOR), "address": "0xc0ffee"}],
        }
    }
    assert list(shaped(tool("cre").cache["tenant"], TENANT)) == ["PRODUCTION"]


def test_an_answer_with_nothing_in_it_is_an_empty_file() -> None:
    """Nothing is made up, and nothing fails, whatever the platform left out."""
    spec = tool("cre").cache["tenant"]
    answers: list[Any] = [{}, None, [], {"registries": "none", "forwarders": [None, 7, {}]}]
    for found in answers:
        assert shaped(spec, found) == {"PRODUCTION": {}}


def spec_of(shape: dict[str, Any], **more: Any) -> CacheSpec:  # noqa: ANN401 - CacheSpec's fields
    """Return a cache of this shape."""
    fields = {
        "credential": ["session"],
        "request": {"get": "https://a.example"},
        "take": "data",
        "path": "~/x",
    }
    return msgspec.convert({**fields, "shape": shape, **more}, CacheSpec)


FOUND = {"id": "7", "kind": "B_C", "on": True, "names": ["X", "y"], "in": {"deep": ["no", "yes"]}}
SHAPES: list[tuple[Any, Any]] = [
    ("in.deep.1", "yes"),
    ({"a": "id", "b": {"c": "nowhere"}}, {"a": "7"}),
    ({"text": "n{id}"}, "n7"),
    ({"text": "n{missing}"}, None),
    ({"text": "n{missing}", "otherwise": "id"}, "7"),
    ({"text": "{small}!", "with": {"small": {"path": "kind", "transform": "lower"}}}, "b_c!"),
    ({"text": "{site}/{id}"}, "https://s/7"),
    ({"path": "id", "when": {"on": "true"}}, "7"),
    ({"path": "id", "when": {"on": "false"}}, None),
    ({"path": "id", "when": {"on": "false"}, "otherwise": {"text": "off"}}, "off"),
    ({"each": "names"}, ["X", "y"]),
    ({"each": "names", "transform": "upper", "only": ["X"]}, ["X"]),
    ({"each": "in"}, None),
]


@pytest.mark.parametrize(("value", "expected"), SHAPES, ids=[json.dumps(one[0]) for one in SHAPES])
def test_a_value_of_a_shape(value: Any, expected: Any) -> None:  # noqa: ANN401 - any JSON
    """Each way to say one; what is empty or not there is left out."""
    spec = spec_of({"it": value}, constants={"site": "https://s"})
    assert shaped(spec, FOUND) == ({} if expected is None else {"it": expected})


def test_without_a_shape_it_is_written_as_it_came() -> None:
    """Below a key, if one is named."""
    assert shaped(spec_of({}), FOUND) == FOUND
    assert shaped(spec_of({}, under="top"), FOUND) == {"top": FOUND}


TRANSFORMED: list[tuple[str, Any, Any]] = [
    ("ellipsis", "0x12345678", "0x12345678"),
    ("ellipsis", "0x123456789", "0x1234...6789"),
    ("integer", " 42 ", 42),
    ("integer", SELECTOR, 16015286601757825753),
    ("integer", 42, 42),
    ("integer", "4.2", None),
    ("integer", "", None),
    ("kebab", "OWNER_KEY  SIGNING", "owner-key-signing"),
    ("lower", "ÄB", "äb"),
    ("upper", "staging", "STAGING"),
    ("upper", None, None),
    ("upper", {"a": "b"}, None),
    ("integer", ["1", "x", "2"], [1, 2]),
]


@pytest.mark.parametrize(("name", "value", "expected"), TRANSFORMED)
def test_a_transform(name: str, value: Any, expected: Any) -> None:  # noqa: ANN401 - any JSON
    """What it makes of a value; None where it can make nothing of it."""
    assert transformed(name, value) == expected


def test_every_transform_is_described_and_tested() -> None:
    """A new one has words for the documentation and a case above."""
    assert {name for name, _, _ in TRANSFORMED} == set(TRANSFORMS)
    assert all(words for _, words in TRANSFORMS.values())
