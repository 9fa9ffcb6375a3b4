"""The broker: the one room with mutable state. Sessions, flights, logins, and what wakes them."""

from tool_agentd.broker.broker import Broker
from tool_agentd.broker.token_ask import TokenAsk

__all__ = ["Broker", "TokenAsk"]
