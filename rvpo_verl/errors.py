"""Errors that a user can act on. Any other ValueError is a bug."""

__all__ = ["ConfigError", "UserError"]


class UserError(ValueError):
    """What failed, what was given, what is accepted, what to do. The command line prints it without a traceback."""


class ConfigError(UserError):
    """A configuration that cannot train as written."""
