"""The quizzes: every file is sound, and a notebook shows it and nothing else."""

import json
import re

import nbformat
import pytest
from nbclient import NotebookClient

from fer_utils.common.errors import UserError
from fer_utils.common.quiz import quiz_folder, show_quiz
from fer_utils.runner.tidy import tidy

NUMBERS = [f"{i:02}" for i in range(1, 7)]


@pytest.fixture(params=NUMBERS)
def number(request):
    return request.param


@pytest.fixture
def questions(number):
    return json.loads((quiz_folder() / f"{number}.json").read_text(encoding="utf-8"))


def right(question):
    return [answer["correct"] for answer in question["answers"]]


def texts(question):
    return [question["question"], *(answer[key] for answer in question["answers"] for key in ("answer", "feedback"))]


def test_there_is_one_for_each_notebook():
    assert sorted(path.stem for path in quiz_folder().iterdir()) == NUMBERS


def test_six_questions_with_one_right_answer_and_feedback_to_every_choice(questions):
    assert len(questions) == 6
    for question in questions:
        assert question.keys() == {"question", "type", "answers"} and question["type"] == "multiple_choice"
        assert len(question["answers"]) == 4 and right(question).count(True) == 1, question["question"]
        assert all(answer.keys() == {"answer", "correct", "feedback"} for answer in question["answers"])
        assert all(len(text) >= 5 for text in texts(question))
        assert len(set(texts(question))) == len(texts(question))


def test_neither_place_nor_length_gives_the_right_answer_away(questions):
    places = [right(question).index(True) for question in questions]
    assert len(set(places)) == 4
    longest = [max(question["answers"], key=lambda answer: len(answer["answer"])) for question in questions]
    assert sum(answer["correct"] for answer in longest) <= 3


def test_no_choice_is_a_number_to_be_known_by_heart(questions):
    choices = [answer["answer"] for question in questions for answer in question["answers"]]
    assert [choice for choice in choices if re.search(r"\d{2}|\d[.,]\d|%", choice)] == []


def test_texts_are_html_that_closes_what_it_opens(questions):
    for text in (text for question in questions for text in texts(question)):
        plain = re.sub(r"<(i|code)>[^<>]+</\1>", "", text)
        assert not re.search(r"[<>&]", plain), text


def test_the_call_shows_every_text_and_marks_what_is_right(number, questions):
    page = show_quiz(number).data
    for text in (text for question in questions for text in texts(question)):
        assert text in page
    assert page.count("<details") == page.count("</details>") == 24
    assert page.count('class="right"') == page.count("✓") == 6
    assert [page.count(f'name="quiz-{number}-{i}"') for i in range(1, 7)] == [4] * 6


def test_the_page_is_the_same_every_time_and_asks_the_network_for_nothing(number):
    page = show_quiz(number).data
    assert page == show_quiz(number).data
    assert not re.search(r"<script|https?:|url\(|@import|\bon\w+=", page)


def test_where_no_page_can_be_shown_one_line_says_so():
    assert repr(show_quiz("03")).startswith("A quiz: ") and "\n" not in repr(show_quiz("03"))


def test_a_notebook_holds_the_quiz_as_one_output_and_nothing_else(tmp_path):
    cell = nbformat.v4.new_code_cell("from fer_utils.common.quiz import show_quiz\n\nshow_quiz('03')")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, kernel_name="python3").execute(cwd=str(tmp_path))
    (output,) = tidy(notebook).cells[0].outputs
    assert output.output_type == "execute_result" and output.data["text/html"] == show_quiz("03").data


def test_a_number_without_a_quiz_is_refused_with_those_that_have_one():
    with pytest.raises(UserError, match="choose one of 01, 02"):
        show_quiz("7")
