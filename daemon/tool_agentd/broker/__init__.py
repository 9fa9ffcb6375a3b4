"""The broker: the one room with mutable state. Sessions, flights, logins, and what wakes them."""

from tool_agentd.broker.broker import Broker, TokenAsk

__all__ = ["Broker", "TokenAsk"]
