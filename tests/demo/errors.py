"""What goes wrong in a demo."""


class DemoError(Exception):
    """A step did not show what it says."""
