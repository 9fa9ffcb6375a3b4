"""`action` and `api-key` as a person meets them: words, questions, stdin, and what is printed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.fake_agent import Request, document, gated, http, problem
from tests.contract.test_client_terminal import Screen
from tests.contract.typed import Typist, typist
from tool_agent import wire

EMAIL = {"name": "email", "label": "Email: ", "secret": False, "argument": True}
ROLE = {
    "name": "role",
    "label": "Role: ",
    "secret": False,
    "option": "--role",
    "default": "member",
    "choices": ["member", "admin"],
}
PASSWORD = {"name": "password", "label": "Password: ", "secret": True, "option": "--password"}
ACTIONS = {
    "schema": 1,
    "actions": [{"name": "invite", "title": "invite", "asks": [EMAIL, ROLE, PASSWORD]}],
}
PATH = "/v1/tools/acme/actions/invite"
DONE = {"state": "done", "text": "Invited.", "values": {"id": "i1"}, "prompts": []}


class Dialogue:
    """An action in the fake agent, which asks one question after another."""

    def __init__(self, person: Typist, *prompts: dict[str, Any], env: str = "", **end: Any) -> None:  # noqa: ANN401 - the last view
        """Ask `prompts`, then be done, or what `end` says."""
        self._prompts = list(prompts)
        self._end = end or DONE
        self.notice: dict[str, Any] | None = None
        """Comes with the second question."""
        self.said: list[str] = []
        self.revision = 0
        self.agent = agent = person.agent
        agent.on("GET", "/v1/tools/acme/actions", self._list)
        agent.on("POST", PATH, gated(env, self._show) if env else self._show)
        agent.on("POST", "/v1/logins/a1/input", self._input)
        agent.on("DELETE", "/v1/logins/a1", self._show)

    @property
    def started(self) -> dict[str, Any]:
        """The body that started it."""
        body: dict[str, Any] = self.agent.asked("POST", PATH)[-1].json
        return body

    @property
    def inputs(self) -> list[dict[str, str]]:
        """What was answered."""
        return [r.json["inputs"] for r in self.agent.asked("POST", "/v1/logins/a1/input")]

    def _list(self, request: Request) -> bytes:
        if request.headers.get("accept") == wire.REPLY:
            return http(200, b"ACTION  TAKES\n", wire.REPLY, (wire.EXIT_HEADER, "0"))
        return document(ACTIONS)

    def _show(self, _: Request) -> bytes:
        self.revision += 1
        view: dict[str, Any] = {"schema": 1, "id": "a1", "tool": "acme", "method": "invite"}
        view |= {"purpose": "action", "account": "default", "revision": self.revision}
        view |= {"said": self.said, "notice": self.notice if self.revision > 1 else None}
        if self._prompts:
            view |= {"state": "awaiting_input", "prompts": self._prompts[:1]}
        else:
            view |= self._end
        return document(view)

    def _input(self, request: Request) -> bytes:
        self._prompts.pop(0)
        return self._show(request)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


def test_words_are_answers(person: Typist) -> None:
    """Arguments go by order and options by name, in any order; the text is the answer."""
    dialogue = Dialogue(person)
    done = person.type("action", "acme", "invite", "--role=admin", "a@b", "--account", "work")
    assert (done.stdout, done.stderr, done.returncode) == ("Invited.\n", "", 0)
    assert dialogue.started == {"account": "work", "inputs": {"email": "a@b", "role": "admin"}}


def test_json(person: Typist) -> None:
    """With --json the values of the outcome are printed."""
    dialogue = Dialogue(person)
    done = person.type("action", "acme", "invite", "a@b", "--json")
    assert json.loads(done.stdout)["values"] == {"id": "i1"}
    assert dialogue.inputs == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b"), "no further argument"),
        (("--colour", "red"), "no option --colour"),
        (("--role",), "--role needs a value"),
        (("--password", "hush"), "other processes could read"),
    ],
)
def test_wrong_words(person: Typist, words: tuple[str, ...], said: str) -> None:
    """What nobody asks, and a secret, are refused before anything begins."""
    dialogue = Dialogue(person)
    done = person.type("action", "acme", "invite", *words)
    assert done.returncode == wire.EXIT_USAGE
    assert said in done.stderr
    assert dialogue.agent.asked("POST", PATH) == []


def test_list_and_unknown(person: Typist) -> None:
    """Without a name the actions are listed; one that there is not is refused, naming those."""
    Dialogue(person)
    done = person.type("action", "acme")
    assert (done.stdout, done.returncode) == ("ACTION  TAKES\n", 0)
    done = person.type("action", "acme", "dance")
    assert done.returncode == wire.EXIT_USAGE
    assert "it has: invite" in done.stderr


def test_lines_of_stdin_answer(person: Typist) -> None:
    """Each question takes the next line; an empty one is sent as it is, for the default."""
    dialogue = Dialogue(person, EMAIL, ROLE, PASSWORD)
    dialogue.said = ["Heads up.", "And go."]
    done = person.type("action", "acme", "invite", stdin="a@b\n\nhush\n")
    assert (done.stdout, done.returncode) == ("Invited.\n", 0)
    assert done.stderr == "Heads up.\nAnd go.\n"
    assert dialogue.inputs == [{"email": "a@b"}, {"role": ""}, {"password": "hush"}]


def test_the_end_of_stdin(person: Typist) -> None:
    """A default counts then; any other question is an error that names its option."""
    dialogue = Dialogue(person, ROLE, PASSWORD)
    done = person.type("action", "acme", "invite", "a@b")
    assert done.returncode == wire.EXIT_USAGE
    assert "'Password'" in done.stderr
    assert "--password" in done.stderr
    assert dialogue.inputs == [{"role": ""}]
    assert len(dialogue.agent.asked("DELETE", "/v1/logins/a1")) == 1


def test_no_input(person: Typist) -> None:
    """--no-input reads nothing, and names the option that would have answered."""
    dialogue = Dialogue(person, PASSWORD)
    done = person.type("action", "acme", "invite", "--no-input", stdin="hush\n")
    assert done.returncode == wire.EXIT_USAGE
    assert "--password" in done.stderr
    assert dialogue.inputs == []


def test_a_wrong_answer_without_another(person: Typist) -> None:
    """Where stdin has no better answer, what was wrong with the last one is the error."""
    dialogue = Dialogue(person, ROLE, ROLE)
    dialogue.notice = {"number": 1, "detail": "'boss' is none of them", "hint": "choose one"}
    done = person.type("action", "acme", "invite", stdin="boss\n")
    assert done.returncode == wire.EXIT_USAGE
    assert "tool-agent: 'boss' is none of them\nhint: choose one\n" in done.stderr


def test_questions_at_a_terminal(person: Typist) -> None:
    """Defaults and choices are shown; a secret is not echoed."""
    dialogue = Dialogue(person, EMAIL, ROLE, PASSWORD)
    screen = Screen(person, "action", "acme", "invite")
    screen.until("Email: ")
    screen.type("a@b\n")
    screen.until(r"Role \(member/admin\) \[member\]: ")
    screen.type("\n")
    screen.until("Password: ")
    assert not screen.echo()
    screen.type("hush\n")
    screen.until("Invited.")
    assert screen.close() == 0
    assert "hush" not in screen.text
    assert dialogue.inputs == [{"email": "a@b"}, {"role": ""}, {"password": "hush"}]


def test_the_persons_variable_goes_along(person: Typist) -> None:
    """A variable that wins is sent for this one request."""
    dialogue = Dialogue(person, env="ACME_KEY; before=session")
    done = person.type("action", "acme", "invite", "a@b", ACME_KEY="ak_1")
    assert done.returncode == 0
    assert dialogue.started["credential"] == {"variable": "ACME_KEY", "value": "ak_1"}


ISSUED = {"schema": 1, "id": "k1", "label": "ci", "key": "ak_new", "variable": "ACME_KEY"}
KEYS = "/v1/tools/acme/api-keys"


def test_a_key_is_printed_once(person: Typist) -> None:
    """The raw key alone goes to stdout; who reads it is told where it belongs."""
    person.agent.on("POST", KEYS, document(ISSUED, 201))
    done = person.type("api-key", "issue", "acme", "--label", "ci")
    assert (done.stdout, done.returncode) == ("ak_new\n", 0)
    assert "ACME_KEY" in done.stderr
    assert "ak_new" not in done.stderr
    assert person.agent.asked("POST", KEYS)[0].json == {"label": "ci"}
    done = person.type("api-key", "issue", "acme", "--label", "ci", "--json")
    assert json.loads(done.stdout) == ISSUED


def test_a_key_into_a_file(person: Typist, tmp_path: Path) -> None:
    """--write-env adds the line; where that fails, the key has been printed all the same."""
    person.agent.on("POST", KEYS, document(ISSUED, 201))
    words = ("api-key", "issue", "acme", "--label", "ci", "--write-env")
    done = person.type(*words, str(tmp_path / ".env"))
    assert done.returncode == 0, done
    assert (tmp_path / ".env").read_text() == "ACME_KEY=ak_new\n"
    done = person.type(*words, str(tmp_path / "no" / "such" / ".env"))
    assert (done.stdout, done.returncode == 0) == ("ak_new\n", False)
    person.agent.on("POST", KEYS, document(ISSUED | {"variable": None}, 201))
    done = person.type(*words, str(tmp_path / "other.env"))
    assert (done.stdout, done.returncode) == ("ak_new\n", wire.EXIT_USAGE)
    assert not (tmp_path / "other.env").exists()


def test_keys_are_listed_and_revoked(person: Typist) -> None:
    """What the agent says is printed; an id is part of the path, whatever is in it."""
    reply = http(200, b"ID  LABEL\n", wire.REPLY, (wire.EXIT_HEADER, "0"))
    person.agent.on("GET", KEYS, reply)
    person.agent.on("DELETE", KEYS + "/a/b", reply)
    assert person.type("api-key", "list", "acme").stdout == "ID  LABEL\n"
    assert person.type("api-key", "revoke", "acme", "a/b").returncode == 0
    detail = "Acme issues API keys on its own site only:\n1. Click."
    person.agent.on("POST", KEYS, problem("not_found", detail, "open https://acme.example/keys"))
    done = person.type("api-key", "issue", "acme", "--label", "ci")
    assert (done.stdout, done.returncode) == ("", wire.EXIT_FAILURE)
    assert "1. Click.\nhint: open https://acme.example/keys" in done.stderr
