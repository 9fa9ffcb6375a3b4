"""The HTTP API on the socket: peer, request, broker, reply. Errors become statuses only here."""

from tool_agentd.api.api import Api
from tool_agentd.api.connection import Server

__all__ = ["Api", "Server"]
