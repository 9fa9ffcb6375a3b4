"""Steps that wait: repeated until what they take is awaited no more, or the time is over."""

from tests.core.fakes import ORIGIN
from tests.core.staged import DOWN, Stage


class TestUntil:
    """A request is repeated until what it takes is awaited no more."""

    STEP = {  # noqa: RUF012 - never changed
        "request": {"post": ORIGIN + "/poll"},
        "take": {"status": "status"},
        "until": {
            "value": "status",
            "equals": ["approved"],
            "stop": {"expired": "too late, {who}"},
            "every": "2s",
            "timeout": "10s",
            "awaits": "your answer, {who}",
        },
    }

    def stage(self, *answers: str) -> Stage:
        """Return a stage whose platform answers so."""
        stage = Stage(who="Ada")
        for answer in answers:
            stage.http.on("/poll", {"status": answer})
        return stage

    def test_awaited(self) -> None:
        """It is asked again after each pause, and the wait has words and an end."""
        stage = self.stage("pending", "pending", "approved")
        before = stage.login.view.expires_at
        seen: list[tuple[str, float]] = []
        inner = stage.clock.pause

        async def pause(seconds: float) -> None:
            seen.append((stage.login.view.awaits, stage.login.view.expires_at))
            await inner(seconds)

        stage.clock.pause = pause  # type: ignore[method-assign]  # looks at the view while it waits
        begun = stage.clock.now().wall
        stage.run(self.STEP)
        assert stage.clock.pauses == [2.0, 2.0]
        assert seen[0] == ("your answer, Ada", begun + 10)
        assert (stage.login.view.awaits, stage.login.view.expires_at) == ("", before)

    def test_stopped(self) -> None:
        """A value that ends the wait is the error that the definition says."""
        stage = self.stage("pending", "expired")
        assert stage.fails(self.STEP).detail == "too late, Ada"

    def test_too_late(self) -> None:
        """After the time it fails, naming what did not come."""
        stage = self.stage("pending")
        error = stage.fails(self.STEP)
        assert "your answer, Ada did not come within 10 s" in error.detail
        assert len(stage.http.sent) == 6

    def test_patient(self) -> None:
        """With a patient word the time's end is told, and the next step follows."""
        stage = self.stage("pending")
        until = {**self.STEP["until"], "patient": "later, {who}"}  # type: ignore[dict-item]  # a table
        stage.run({**self.STEP, "until": until}, {"say": "next"})
        assert stage.login.view.said == ("later, Ada", "next")

    def test_network_in_between(self) -> None:
        """A failure between two polls is waited out; one at the first ends it at once."""
        stage = self.stage("pending")
        stage.http.fail("/poll", DOWN)
        stage.http.on("/poll", {}, 429)
        stage.http.on("/poll", {"status": "approved"})
        stage.run({**self.STEP, "until": {**self.STEP["until"], "timeout": "1m"}})  # type: ignore[dict-item]  # a table
        assert stage.clock.pauses == [2.0, 7.0, 7.0]
        stage = Stage()
        stage.http.fail("/poll", DOWN)
        assert stage.fails(self.STEP) is DOWN

    def test_network_to_the_end(self) -> None:
        """Where the network has failed at the end too, that is the error."""
        stage = self.stage("pending")
        stage.http.fail("/poll", DOWN)
        assert stage.fails(self.STEP) is DOWN
