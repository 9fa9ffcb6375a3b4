"""A line of the audit trail as text: one line, bounded, printable, and read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.house.tree import ROOT
from tool_agentd import audit
from tool_agentd.api import words_audit
from tool_agentd.model import NOBODY, AuditEvent, AuditLine, Peer, Requester, Rights

GIT = Peer(
    1000,
    1000,
    4712,
    "/usr/bin/python3",
    Requester(4711, "/usr/bin/git", 4000, 99, "pts/3"),
    ("user", "mount"),
    Rights("ci", "cre", "work", "read"),
)
LINE = AuditLine(
    1795850000.25,
    AuditEvent.GRANT,
    "ok",
    GIT,
    "cre",
    "work",
    "read write",
    "https://api.example/",
    "a reason",
    "0123456789abcdef",
    "acme",
)
TEXTS = st.text() | st.text("\n\r\x1b\x00\u2028\u202e\ud800a", max_size=600)


def test_everything_that_is_known_is_in_a_line() -> None:
    """Who, for whom, whence, what, of which secret, when; the schema first."""
    said = json.loads(audit.encode(audit.record_of(LINE, 77)))
    assert said == {
        "schema": 1,
        "at": "2026-11-28T07:13:20.250Z",
        "event": "grant",
        "outcome": "ok",
        "agent": 77,
        "uid": 1000,
        "pid": 4712,
        "executable": "/usr/bin/python3",
        "requester": {
            "pid": 4711,
            "executable": "/usr/bin/git",
            "session": 4000,
            "terminal": "pts/3",
        },
        "foreign": ["user", "mount"],
        "socket": {"name": "ci", "tool": "cre", "account": "work", "scope": "read"},
        "tool": "cre",
        "provider": "acme",
        "account": "work",
        "scope": "read write",
        "audience": "https://api.example/",
        "detail": "a reason",
        "fingerprint": "0123456789abcdef",
    }


def test_what_the_agent_does_by_itself_has_no_peer() -> None:
    """Neither uid nor pid; the writer is named all the same."""
    said = json.loads(audit.encode(audit.record_of(AuditLine(0, AuditEvent.END, "x", NOBODY), 77)))
    assert set(said) == {"schema", "at", "event", "outcome", "agent"}


@given(text=TEXTS)
def test_any_text_makes_one_short_printable_line(text: str) -> None:
    """What a peer or a provider says begins no line, moves no cursor, and has an end."""
    peer = Peer(1, 1, 1, text, Requester(1, text, 1, 1, text), (), Rights(text, "cre", text, text))
    line = AuditLine(1.0, AuditEvent.DENIAL, "denied", peer, text, text, text, text, text)
    raw = audit.encode(audit.record_of(line, 1))
    assert raw.endswith(b"}\n")
    assert raw.count(b"\n") == 1
    assert raw.decode().rstrip("\n").isprintable()
    assert len(raw) < 24_000
    record = audit.decode(raw)
    assert record is not None
    shown = words_audit.lines([record])
    assert shown.count("\n") == 1
    assert shown.rstrip("\n").isprintable()


def test_a_long_path_keeps_its_end_and_a_long_reason_its_beginning() -> None:
    """Which program it was stands at the end of its path."""
    assert audit.tail("/a" * 500 + "/git").endswith("/a/git")
    assert audit.plain("because " * 500).startswith("because because")
    assert len(audit.tail("/a" * 500)) == len(audit.plain("a" * 500)) == audit.TEXT_MAX


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("cre", "cre"),
        ("cre reports", "cre reports"),
        ("nrp_5f1e2d", "?"),
        ("cre nrp_5f1e2d", "cre ?"),
        ("a" * 64, "?"),
        ("", ""),
    ],
)
def test_what_can_be_no_tool_is_not_written(asked: str, written: str) -> None:
    """A key that was pasted where a tool's name belongs does not get into the file."""
    assert audit.record_of(AuditLine(0, AuditEvent.DENIAL, "x", NOBODY, asked), 1).tool == written


@given(
    st.lists(
        st.tuples(
            st.floats(1e9, 4e9),
            st.sampled_from([GIT, NOBODY, Peer(0, 0, 1)]),
            st.sampled_from(["cre", "nrepo"]),
            st.sampled_from(["", "2026-11-28T07:13:20.250Z"]),
        ),
        max_size=20,
    )
)
def test_lines_together_are_what_they_are_alone(
    parts: list[tuple[float, Peer, str, str]],
) -> None:
    """The short way for peers that ask again writes the same, but for the last millisecond."""
    lines = [
        AuditLine(at, AuditEvent.GRANT, "ok", peer, tool, scope=scope)
        for at, peer, tool, scope in parts
    ]
    for line, raw in zip(lines, audit.encode_all(lines, 7), strict=True):
        record = audit.decode(raw)
        assert record is not None
        assert abs(record.wall - line.at) < 0.002
        assert record == structs.replace(audit.record_of(line, 7), at=record.at)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'{"schema":1}', b"\xff\xfe", b"[" * 5000, b'{"schema":"1"}'],
)
def test_what_is_no_line_of_ours_is_none(raw: bytes) -> None:
    """A torn line, or a foreign one, is passed over."""
    assert audit.decode(raw) is None


PAGE = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
ZSH = Peer(1000, 1000, 4701, requester=Requester(4700, "/bin/zsh", 4700, 1, "pts/3"))
SHOWN = [
    AuditLine(0, AuditEvent.AGENT, "started", NOBODY, detail="version 0.1.0"),
    AuditLine(
        0,
        AuditEvent.LOGIN,
        "ok",
        ZSH,
        "cre",
        "default",
        detail="by browser",
        fingerprint="5f1e2d3c",
    ),
    AuditLine(
        0, AuditEvent.GRANT, "ok", Peer(0, 0, 4711, "/usr/bin/git"), "cre", "default", "read"
    ),
    AuditLine(
        0,
        AuditEvent.REFRESH,
        "rotated",
        Peer(0, 0, 4803, "/usr/bin/git"),
        "cre",
        "default",
        fingerprint="5f1e2d3c",
    ),
    AuditLine(
        0,
        AuditEvent.DENIAL,
        "denied",
        Peer(0, 0, 4999, "/usr/bin/curl"),
        "cre",
        "default",
        detail="deny = 'curl': /usr/bin/curl may not have credentials of cre",
    ),
]


def test_the_page_shows_what_is_shown() -> None:
    """The lines of docs/audit.md are those of the command, but for their times."""
    begins = len("2026-11-28 07:12:01")
    records = [audit.record_of(line, 4242) for line in SHOWN]
    lines = [line[begins:] for line in words_audit.lines(records).splitlines()]
    assert "\n".join(lines) in "\n".join(line[begins:] for line in PAGE.splitlines())


def test_the_page_has_every_event_and_every_field() -> None:
    """What may stand in the file is explained."""
    for event in AuditEvent:
        assert f"`{event.value}`" in PAGE
    for name in (*audit.Record.__struct_fields__, *audit.Asked.__struct_fields__):
        assert f"`{name}`" in PAGE


def test_a_line_of_a_later_version_is_read() -> None:
    """Fields that this version does not know are no trouble, and an event neither."""
    raw = b'{"schema":2,"at":"soon","event":"x","outcome":"y","agent":1,"new":[1]}'
    record = audit.decode(raw)
    assert record is not None
    assert (record.event, record.wall) == ("x", 0.0)
