"""Stories of a person who wants to be asked: in a terminal of their own, or by nobody."""

from tests.real.agent import Agent


def test_a_login_that_asks_is_answered_in_a_terminal(agent: Agent) -> None:
    """Promise 15: with nobody there it is denied; then yes, and no, as the person says."""
    agent.good("login", "workflows", "--confirm")
    refused = agent.run("token", "workflows")
    assert refused.returncode == 77
    assert "tool-agent approve" in refused.stderr
    assert "confirmed each time" in agent.good("status")
    with agent.terminal("approve") as terminal:
        terminal.expect("Waiting for questions")
        for typed, status in (("o\n", 0), ("d\n", 77)):
            asking = agent.begin("token", "workflows")
            terminal.expect("'workflows'")
            terminal.expect("eny: ")
            terminal.type(typed)
            asking.communicate(timeout=30)
            assert asking.returncode == status
    assert agent.run("approve").returncode == 2
