"""The demo: four tools end to end, against the practice platforms, in a home of its own."""
