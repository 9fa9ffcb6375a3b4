"""The distribution's version: the build reads it here, the client without importlib.metadata."""

__version__ = "0.1.0"
