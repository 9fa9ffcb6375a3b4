"""The benchmark: `python -m bench`, or `make bench`. README.md says how to read its table."""
