"""The question: no name of a program, scope or account bends the words around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.broker.gate import Wanted
from tool_agentd.broker.question import LONGEST, lines, question_of, quoted, words
from tool_agentd.model import AccountKey, Peer, Requester
from tool_agentd.policy import Confirm

KEY = AccountKey("acme", "work")
RULE = Confirm('confirm = "session"', always=False)


def test_the_question_names_who_asks_for_what() -> None:
    """Program, process, terminal, our own command, tool, account, scope and rule."""
    bash = Requester(4711, "/usr/bin/bash", 4711, 77, "pts/3")
    peer = Peer(1, 1, 4712, executable="/usr/bin/python3", requester=bash, foreign=("mount",))
    wanted = Wanted(peer, "acme", KEY, "deploy", "https://acme.example")
    assert lines(question_of(wanted, "Acme", RULE, session=True)) == [
        ("tool", "'acme' ('Acme')"),
        ("account", "'work'"),
        ("scope", "'deploy'"),
        ("audience", "'https://acme.example'"),
        ("asked by", "'/usr/bin/bash' (process 4711, terminal 'pts/3')"),
        ("through", "'/usr/bin/python3' (process 4712), from another mount namespace"),
        ("rule", 'confirm = "session"'),
    ]


def test_a_program_that_cannot_be_told_is_called_so() -> None:
    """Without quotes, as no path is."""
    question = question_of(Wanted(Peer(1, 1, 5), "acme", KEY), "Acme", RULE, session=False)
    assert ("asked by", "a program that cannot be told (process 5, no terminal)") in lines(question)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/j\u00fcrgen/bin/make", "'/home/j\u00fcrgen/bin/make'"),
        ("/opt/x' (process 1)", "'/opt/x\\u0027 (process 1)'"),
        ("/opt/x\u2019 asks", "'/opt/x\\u2019 asks'"),
        ("/opt/a\nrule: none", "'/opt/a\\u000arule: none'"),
        ("/opt/\x1b[2J", "'/opt/\\u001b[2J'"),
        ("/opt/\u202egnp", "'/opt/\\u202egnp'"),
        ("/opt/\u05d0\u05d1 1", "'/opt/\\u05d0\\u05d1 1'"),
        ("<b>&amp;</b>", "'\\u003cb\\u003e\\u0026amp;\\u003c/b\\u003e'"),
        ("\\u0041", "'\\u005cu0041'"),
    ],
)
def test_what_could_mislead_is_spelt_out(text: str, shown: str) -> None:
    """Quotes, line breaks, escapes, markup, writing that runs the other way."""
    assert quoted(text) == shown


@given(st.text(max_size=400))
def test_no_text_ends_its_quotes(text: str) -> None:
    """One line, bounded, and exactly the two quotes that we put there."""
    shown = quoted(text)
    assert shown[0] == shown[-1] == "'"
    assert not set(shown[1:-1]) & set("'\"<>&`\n\r\x1b")
    assert shown.isprintable()
    assert len(shown) <= 6 * (LONGEST + 5) + 2


@given(st.text(min_size=1, max_size=50), st.text(max_size=50))
def test_the_question_has_the_same_lines_whoever_asks(program: str, scope: str) -> None:
    """No name adds a line to it, or takes one away."""
    peer = Peer(1, 1, 5, executable=program)
    question = question_of(Wanted(peer, "acme", KEY, scope), "Acme", RULE, session=True)
    assert words(question).count("\n") == 2 + 5
