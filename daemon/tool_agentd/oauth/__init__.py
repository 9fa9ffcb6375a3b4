"""OAuth without I/O: requests are built and replies parsed, one module per grant or endpoint."""
