"""What a check says."""

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from fer_utils.common.exercises import NotYet, check, expect, returned


@pytest.fixture
def answer(monkeypatch):
    """Give the name `n` a value in the module that the checks below look at."""
    return lambda value: monkeypatch.setitem(globals(), "n", value)


def test_a_right_answer_is_called_right(answer, capsys):
    answer(3)
    with check("n"):
        expect(n == 3, "look again")  # noqa: F821
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize("value", [None, ...])
def test_what_has_no_value_is_asked_for(answer, value):
    answer(value)
    with pytest.raises(NotYet, match="`n` has no value. Write your answer"), check("n"):
        pytest.fail("the block must not run")


def test_a_name_that_was_never_given_is_asked_for():
    with pytest.raises(NotYet, match="`never_written` has no value"), check("never_written"):
        pytest.fail("the block must not run")


def test_the_hint_is_the_message(answer, capsys):
    answer(2)
    with pytest.raises(NotYet, match="^look at the shape$"), check("n"):
        expect(n == 3, "look at the shape")  # noqa: F821
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "described"),
    [(np.zeros(7), r"`n` is ndarray of shape \(7,\)"), ("3", "`n` is str"), (print, "`n` is a function")],
)
def test_what_a_check_cannot_work_with_is_described(answer, value, described):
    answer(value)
    with pytest.raises(NotYet, match=f"cannot work with this answer. {described}"), check("n"):
        expect(n < 5, "too large")  # noqa: F821


def test_a_function_that_stops_or_returns_nothing_is_named():
    def half(n):
        return 1 / n if n < 2 else None

    assert returned(half, 1) == 1
    with pytest.raises(NotYet, match="`half` stopped with ZeroDivisionError"):
        returned(half, 0)
    with pytest.raises(NotYet, match="`half` returns nothing"):
        returned(half, 2)


def test_a_notebook_shows_the_hint_without_a_traceback(capsys):
    shell = InteractiveShell()
    shell.run_cell("from fer_utils.common.exercises import check\nwith check('n'):\n    pass")
    assert capsys.readouterr().out.strip() == (
        "Not yet: `n` has no value. Write your answer into the cell above, run it, then run this one"
    )
