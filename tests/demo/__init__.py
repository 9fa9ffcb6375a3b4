"""The demo: one login end to end, against the practice platform, in a home of its own."""
