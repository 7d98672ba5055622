"""The checks of the exercise notebooks: they say what is wrong and where to look, never only that something is.

with check("share"):
    expect(0 <= share <= 1, "a share lies between 0 and 1: divide by the number of pictures")
    expect(abs(share - 0.25) < 0.01, "this is the share of all classes: look at those labelled happy")
"""

import sys

from fer_utils.common.errors import UserError


class NotYet(UserError):
    """An answer that is missing or not right yet; a notebook shows its message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks for it; nbgrader still sees an error, and gives no points.
        return [f"Not yet: {self}"]


def expect(condition: bool, hint: str) -> None:
    """Go on if a condition holds.

    Args:
        condition: what a right answer fulfils.
        hint: what is wrong otherwise, and where to look.

    Raises:
        NotYet: with the hint, if the condition does not hold.
    """
    if not condition:
        raise NotYet(hint)


def returned(function, *arguments):
    """Return what a function written by the student returns.

    Raises:
        NotYet: if it raises, or returns nothing.
    """
    called = f"`{getattr(function, '__name__', 'your function')}`"
    try:
        result = function(*arguments)
    except Exception as error:
        raise NotYet(f"{called} stopped with {type(error).__name__}: {error}") from error
    expect(result is not None, f"{called} returns nothing: its last line should be `return` and the result")
    return result


class check:  # noqa: N801 - it is used like a word: "with check(...)"
    """A block that looks at answers: prints "Right." if everything it expects holds, says what is missing otherwise.

    Args:
        names: the variables or functions of the notebook that the answer consists of; the block runs only if each of
            them has a value.

    Raises:
        NotYet: if one of them has no value, if an expectation in the block does not hold, or if the block cannot work
            with what they are.
    """

    def __init__(self, *names: str):
        self._names = names
        self._notebook = sys._getframe(1).f_globals

    def __enter__(self) -> None:
        for name in self._names:
            if self._notebook.get(name) is None or self._notebook[name] is Ellipsis:
                raise NotYet(f"`{name}` has no value. Write your answer into the cell above, run it, then run this one")

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            print("Right.")
        elif isinstance(error, Exception) and not isinstance(error, NotYet):
            found = "; ".join(f"`{name}` is {_described(self._notebook[name])}" for name in self._names)
            why = f"{type(error).__name__}: {error}"
            raise NotYet(
                f"the check cannot work with this answer. {found}. Compare that with the task ({why})"
            ) from None


def _described(value) -> str:
    """Say what something is, for example "ndarray of shape (7,)"."""
    if callable(value):
        return "a function"
    shape = getattr(value, "shape", None) or (f"({len(value)},)" if isinstance(value, list | tuple | dict) else None)
    return type(value).__name__ + (f" of shape {shape}" if shape else "")
