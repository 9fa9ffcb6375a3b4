"""The route that explains: what would answer for a tool now, and its account's history."""

from tool_agent import wire
from tool_agentd.api import words_why
from tool_agentd.api.accounts import state_word
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Call, Json, reads
from tool_agentd.broker.why import Explanation, Why
from tool_agentd.definition.credentials import PersonVariable
from tool_agentd.model import AccessToken, Instant, JournalEntry
from tool_agentd.session import Expired, SignedOut, margins


class WhyRoutes:
    """Explanations over HTTP."""

    def __init__(self, why: Why) -> None:
        """Serve from `why`."""
        self._why = why

    @reads("account", "set")
    async def explain(self, call: Call) -> Answer:
        """GET /v1/why/{tool}."""
        query = call.query()
        present = None
        if "set" in query:
            present = {name.strip() for name in query["set"].split(",") if name.strip()}
        found = await self._why.explain(
            call.params[0], query.get("account") or None, present, call.peer
        )
        return Answer(explanation_json(found), words_why.explanation(found))


def explanation_json(found: Explanation) -> Json:
    """Return an explanation as the JSON reply has it."""
    grant = found.grant
    ended = found.state if isinstance(found.state, Expired | SignedOut) else None
    return {
        "schema": wire.SCHEMA,
        "tool": found.tool,
        "provider": found.key.provider,
        "account": found.key.label,
        "chosen": found.chosen.value,
        "answers": {
            "rule": found.rule.value,
            "credential": found.credential,
            "variable": found.variable.name if found.variable is not None else None,
        },
        "policy": {
            "verdict": found.policy.verdict,
            "rule": found.policy.rule,
            "detail": found.policy.detail or None,
            "hint": found.policy.hint or None,
            "until": found.policy.until,
            "max_scope": sorted(found.policy.most) if found.policy.most is not None else None,
        },
        "variables": [_variable_json(found, variable) for variable in found.variables],
        "state": state_word(found.state),
        "login_under_way": found.login_under_way,
        "reason": ended.reason or None if ended is not None else None,
        "ended_at": ended.at if isinstance(ended, Expired) else None,
        "session": None
        if grant is None
        else {
            "method": grant.method,
            "kind": grant.kind.value,
            "identity": grant.identity.name or None,
            "obtained_at": grant.obtained_at,
            "generation": grant.generation,
            "ends_at": grant.ends_at,
            "ephemeral": grant.ephemeral,
            "confirm": grant.confirm,
            "refreshes_at": found.refreshes_at,
        },
        "token": _token_json(found.token, found.now),
        "trouble": list(found.trouble),
        "history": [entry_json(entry) for entry in found.history],
    }


def _variable_json(found: Explanation, variable: PersonVariable) -> Json:
    return {
        "name": variable.name,
        "credential": variable.credential,
        "before_session": variable.before_session,
        "login": variable.login,
        "set": None if found.unset is None else variable.name not in found.unset,
    }


def _token_json(token: AccessToken | None, now: Instant) -> Json | None:
    life = words_why.life_of(token)
    if token is None or life is None:
        return None
    margin, window = margins(token)
    return {
        "left": round(now.until(token.expires), 3),
        "life": round(life, 3),
        "expires_at": token.expires.wall,
        "margin": round(margin, 3),
        "window": round(window, 3),
    }


def entry_json(entry: JournalEntry) -> Json:
    """Return a line of the history as the JSON reply has it."""
    return {
        "at": entry.at,
        "event": entry.event.value,
        "generation": entry.generation,
        "fingerprint": entry.fingerprint or None,
        "attempt": entry.attempt or None,
        "detail": entry.detail or None,
        "by": entry.by,
    }
