"""The benchmark's arithmetic and its table. What is measured is not tested: times are no tests."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import exchange, figures, table
from bench.agents import imported
from bench.figures import Goal, Rounds, Spread, Verdict
from tests.house.tree import ROOT

SAMPLES = st.lists(st.floats(min_value=1e-9, max_value=1e9), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("share", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0), (0.5, 1.0), (99.5, 100)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    """Of 1 to 100, in any order, the nth percentile is n."""
    samples = [float(number) for number in range(100, 0, -1)]
    assert figures.percentile(samples, share) == expected


def test_the_median_is_a_sample() -> None:
    """Of an even number of samples the median is the lower one in the middle."""
    assert figures.middle([4.0, 1.0, 3.0, 2.0]) == 2.0
    assert figures.middle([3.0, 1.0, 2.0]) == 2.0
    assert figures.middle([7.0]) == 7.0


@given(SAMPLES, st.floats(min_value=0.001, max_value=100))
def test_a_percentile_is_not_exceeded_by_its_share(samples: list[float], share: float) -> None:
    """At least the share does not exceed the percentile, and less than the share lies below it."""
    found = figures.percentile(samples, share)
    assert sum(sample <= found for sample in samples) >= len(samples) * share / 100
    assert sum(sample < found for sample in samples) < len(samples) * share / 100


@pytest.mark.parametrize("share", [0, -1, 100.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    """There is no 0th percentile and no 101st."""
    with pytest.raises(ValueError, match="percentage"):
        figures.percentile([1.0], share)


def test_no_samples_have_no_percentile() -> None:
    """Nothing measured is an error and not zero."""
    with pytest.raises(ValueError, match="no samples"):
        figures.percentile([], 50)
    with pytest.raises(ValueError, match="without samples"):
        Rounds().add([])


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is twice as slow in one round changes no ratio."""
    assert figures.ratios([2.0, 4.0, 3.0], [1.0, 2.0, 1.0]) == Spread(2.0, 2.0, 3.0)
    assert figures.ratios([1.0, 20.0, 3.0], [1.0, 10.0, 2.0]) == Spread(1.0, 1.5, 2.0)


def test_rounds_that_do_not_pair_have_no_ratio() -> None:
    """A round that one of the two lacks is an error and not left out."""
    with pytest.raises(ValueError, match="shorter"):
        figures.ratios([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"empty|no samples"):
        figures.ratios([], [])


@given(st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)), min_size=1))
def test_a_spread_is_in_order(pairs: list[tuple[float, float]]) -> None:
    """The least ratio is not above the median, nor the median above the greatest."""
    found = figures.ratios([mine for mine, _ in pairs], [other for _, other in pairs])
    assert found.least <= found.median <= found.greatest


def test_rounds_keep_their_medians_apart() -> None:
    """The medians are those of each round, a percentile is over all of them."""
    rounds = Rounds()
    rounds.add([1.0, 2.0, 3.0])
    rounds.add([10.0, 30.0, 20.0])
    assert rounds.medians == [2.0, 20.0]
    assert rounds.over_all() == 3.0
    assert rounds.over_all(figures.TAIL) == 30.0


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.5, Verdict.MET), (1.51, Verdict.MISSED), (0.2, Verdict.MET)]
)
def test_a_goal_is_the_most_allowed(value: float, verdict: Verdict) -> None:
    """A value that equals the goal meets it."""
    assert Goal(1.5).verdict(value) is verdict
    assert str(Goal(1.5)) == "<= 1.5"
    assert str(Goal(1.0, "/s")) == "<= 1/s"


def test_wake_ups_are_per_second() -> None:
    """Two counts and a time make a rate; a count that went down makes none."""
    assert figures.switches_per_second(100, 130, 10.0) == 3.0
    with pytest.raises(ValueError, match="ended"):
        figures.switches_per_second(10, 9, 1.0)
    with pytest.raises(ValueError, match="time"):
        figures.switches_per_second(1, 2, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (82.13e-6, "82.1 µs"),
        (0.9e-6, "0.90 µs"),
        (378e-6, "378 µs"),
        (7.9e-3, "7.90 ms"),
        (0.0146, "14.6 ms"),
        (0.373, "373 ms"),
        (1.2, "1.20 s"),
        (100.0, "100 s"),
    ],
)
def test_a_duration_has_three_digits(seconds: float, text: str) -> None:
    """Durations are shown in the unit that fits, with three digits."""
    assert figures.duration(seconds) == text


def test_the_table_says_which_goals_are_met() -> None:
    """A row with a goal is judged by its median, or by the value that the goal is about."""
    rows = [
        table.Row("ours", ("1.00 ms",)),
        table.Row("theirs", ("2.00 ms",), Spread(1.0, 1.4, 9.0), Goal(1.5)),
        table.Row("worse", ("2.00 ms",), Spread(1.0, 1.6, 1.7), Goal(1.5)),
        table.Row("counted", (), None, Goal(1.0, "/s"), 0.9),
    ]
    section = table.Section("One request", ("p50",), rows, ("a note",))
    lines = table.text([section]).splitlines()
    assert lines[0] == "One request"
    assert lines[3].split() == ["theirs", "2.00", "ms", "1.00", "1.40", "9.00", "<=", "1.5", "met"]
    assert lines[4].endswith("<= 1.5 missed")
    assert lines[6] == "    a note"
    assert [line.split()[0] for line in table.verdicts([section])] == ["met", "missed", "met"]


def test_a_table_without_goals_has_no_column_for_them() -> None:
    """The columns of ratios and goals are there only where a row has one."""
    section = table.Section("Plain", ("p50",), [table.Row("ours", ("1.00 ms",))])
    assert table.text([section]) == "Plain\n            p50\n  ours  1.00 ms\n\n"


@pytest.mark.parametrize(
    ("complete", "whole"),
    [
        (exchange.http_complete, b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabc"),
        (exchange.ssh_complete, b"\x00\x00\x00\x05\x0c\x00\x00\x00\x00"),
        (exchange.oidc_complete, b'{"status":"success","access_token":"x"}'),
    ],
    ids=["http", "ssh", "oidc"],
)
def test_the_end_of_an_answer_is_found(complete: exchange.Complete, whole: bytes) -> None:
    """No beginning of an answer counts as the whole of it."""
    assert complete(whole)
    assert not any(complete(whole[:length]) for length in range(len(whole)))


@pytest.mark.parametrize(
    ("complete", "answer"),
    [
        (exchange.http_complete, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
        (exchange.ssh_complete, b"\x00\x00\x00\x01\x05"),
        (exchange.oidc_complete, b'{"status":"failure","error":"no account"}'),
    ],
    ids=["http", "ssh", "oidc"],
)
def test_an_error_is_never_measured(complete: exchange.Complete, answer: bytes) -> None:
    """An answer that is an error ends the benchmark: a fast refusal is no fast answer."""
    with pytest.raises(exchange.ServerError):
        complete(answer)


def test_the_libraries_are_read_from_the_interpreters_own_account(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What `-X importtime` writes is understood, and our own packages are left out."""
    log = tmp_path_factory.mktemp("bench") / "stderr"
    code = "import json.decoder, tool_agent.wire"
    with log.open("wb") as stderr:
        subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, stderr=stderr, check=True
        )
    names = imported(log)
    assert {"json", "json.decoder", "json.scanner"} <= set(names)
    assert not [name for name in names if name.startswith("tool_agent") or "package" in name]
