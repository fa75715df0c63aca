"""The bench agent: what runs on the host, on the standard library alone."""

__version__ = "0.1.0"
