"""The audit trail: lines appended to a file of the person's, and sent to systemd's journal."""

from tool_agentd.adapters.audit.trail import AuditTrail

__all__ = ["AuditTrail"]
