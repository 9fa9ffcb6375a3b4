"""A secret shows itself to `reveal` alone, and is found again in any text that holds it."""

import copy
import gc
import json
import pickle
from collections.abc import Callable

import msgspec
import pytest

from tool_agentd.secret import Secret, starred

VALUE = "hunter2-hunter2"


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        ascii,
        format,
        lambda secret: f"{secret!r:>20} {secret:s}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - logging formats like this
        lambda secret: repr({"a": [secret]}),
        lambda secret: str(ValueError(secret)),
        lambda secret: repr(KeyError(secret)),
    ],
)
def test_it_is_stars_wherever_it_is_shown(shown: Callable[[Secret], str]) -> None:
    """No way of printing it, nor an error that holds it, shows the value or its length."""
    text = shown(Secret(VALUE))
    assert "hunter" not in text
    assert "****" in text
    assert text == shown(Secret(VALUE * 3))


@pytest.mark.parametrize(
    "taken",
    [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, hash, vars, list],
)
def test_it_is_not_taken_elsewhere(taken: Callable[[Secret], object]) -> None:
    """It is not pickled, copied, encoded, hashed or taken apart; the error shows no value."""
    with pytest.raises(TypeError) as caught:
        taken(Secret(VALUE))
    assert "hunter" not in str(caught.value)


def test_only_a_secret_equals_it() -> None:
    """It equals another of the same text, and no plain text."""
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize("value", [VALUE, 'p w/ö+"q\\o\tte=~', "eight888"])
def test_a_living_secret_is_found_in_a_text(value: str) -> None:
    """As it is, url-encoded, in JSON, in a repr; a text without it is left alone."""
    secret = Secret(value)
    for text in (value, json.dumps({"k": value}), repr({"k": value}), f"a {value} b {value}"):
        assert value not in starred(text)
        assert "****" in starred(text)
    assert starred("nothing of it") == "nothing of it"
    assert secret


def test_the_longer_of_two_is_starred_whole() -> None:
    """A token that begins with another leaves no tail."""
    kept = Secret("abcdefgh"), Secret("abcdefgh-ijklmnop")
    assert starred("x abcdefgh-ijklmnop y abcdefgh") == "x **** y ****"
    assert kept


def test_a_short_secret_is_not_looked_for() -> None:
    """Below eight characters half of all words would be stars."""
    kept = Secret("log")
    assert starred("the log") == "the log"
    assert kept


def test_nothing_is_kept_of_a_dead_one() -> None:
    """The search holds no value: when its owner lets a secret go, it is gone here too."""
    secret = Secret("this-one-ends-soon")
    assert starred("this-one-ends-soon") == "****"
    del secret
    gc.collect()
    assert starred("this-one-ends-soon") == "this-one-ends-soon"
