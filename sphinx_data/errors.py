"""Errors a person sees: one sentence that names file, field and mend.

The exit status belongs to the class (docs/contracts.md, section 5).
"""


class SphinxError(Exception):
    """Base of all expected errors; the command line prints the message without a traceback."""

    exit_status = 1


class UsageError(SphinxError):
    """Wrong usage or configuration: the message names file, field, value and mend."""

    exit_status = 2


class InputError(SphinxError):
    """Input that is missing or damaged beyond use."""

    exit_status = 3


class OutputError(SphinxError):
    """The place of the output takes no more: a full disk, a quota, a failing device."""

    exit_status = 1


class TooManyRejects(SphinxError):
    """More inputs were rejected than ``--max-rejects`` allows."""

    exit_status = 4


class InvalidSample(SphinxError):
    """A sample that breaks the schema; the writer names id and field."""

    exit_status = 3
