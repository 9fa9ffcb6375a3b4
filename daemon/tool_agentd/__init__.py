"""The agent: one background process that owns the logins of command-line tools."""
