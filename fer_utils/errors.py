"""The one error that is meant for the reader of a notebook or a terminal."""


class UserError(ValueError):
    """Something the user can put right.

    The message is one line: what is wrong, then the next step. The command line prints it on stderr
    and exits with 2; in a notebook it is the last line of the traceback.
    """
