"""Tool definitions: TOML text becomes a frozen ToolDefinition, or an error naming key and fix."""
