"""The real parts that tests stand on, one module per part, each with its fixture."""
