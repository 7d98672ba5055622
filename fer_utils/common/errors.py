"""The one error that is meant for the reader of a notebook or a terminal."""


class UserError(ValueError):
    """Something the user can put right.

    The message is one line: what is wrong, then the next step. The command line prints it on stderr
    and exits with `exit_code`; in a notebook it is the last line of the traceback.
    """

    exit_code = 2


class WentWrong(UserError):
    """Something that failed although it was asked for rightly: a download, a server. The exit code is 1."""

    exit_code = 1
