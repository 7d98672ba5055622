"""The quiz at the end of a notebook: choices that unfold and say why they are right or wrong."""

import json
from pathlib import Path

from IPython.display import HTML

from fer_utils.common.errors import UserError
from fer_utils.common.paths import PACKAGE, project_root

# Nothing but HTML, so it works in JupyterLab, in the book and where no script may run, with a keyboard and a screen
# reader. (jupyterquiz, whose format the files have, runs a script, and beside a formula it loads another from servers.)
# Of the choices that share a name, a browser keeps one unfolded. Text takes the page's colours.
STYLE = """<style>
.fer-quiz { max-width: 44em; line-height: 1.45 }
.fer-quiz li { margin: 0 0 1.4em }
.fer-quiz p { margin: 0 0 .5em }
.fer-quiz details { border: 1px solid #8888; border-radius: .4em; margin: .35em 0; padding: .35em .7em }
.fer-quiz summary { cursor: pointer }
.fer-quiz details p { border-left: .3em solid #c4511d; margin: .5em 0 .3em; padding-left: .7em }
.fer-quiz details.right p { border-color: #2e8540 }
</style>"""


class _Quiz(HTML):
    def __repr__(self):
        return "A quiz: open this notebook in JupyterLab, or in the book, to answer it."


def quiz_folder() -> Path:
    """Return the folder of the questions: in a checkout beside the notebooks, else inside the package."""
    root = project_root()
    return root / "notebooks" / "quiz" if root else PACKAGE / "assets" / "quiz"


def show_quiz(notebook: str) -> HTML:
    """Return the six questions of a notebook for showing; each choice unfolds to its feedback.

    Texts in the files are HTML.

    Args:
        notebook: its number, such as "03".

    Raises:
        UserError: if there is no quiz of that number.
    """
    known = {path.stem: path for path in quiz_folder().glob("*.json")}
    if notebook not in known:
        raise UserError(f"no quiz {notebook!r}: choose one of {', '.join(sorted(known))}")
    questions = json.loads(known[notebook].read_text(encoding="utf-8"))
    items = "\n".join(_question(question, f"quiz-{notebook}-{i}") for i, question in enumerate(questions, start=1))
    return _Quiz(f'<div class="fer-quiz">{STYLE}\n<ol>\n{items}\n</ol></div>')


def _question(question: dict, name: str) -> str:
    choices = "\n".join(_choice(answer, name) for answer in question["answers"])
    return f"<li><p>{question['question']}</p>\n{choices}</li>"


def _choice(answer: dict, name: str) -> str:
    kind, verdict = ("right", "✓ Right.") if answer["correct"] else ("wrong", "✗ Not quite.")
    feedback = f"<p><b>{verdict}</b> {answer['feedback']}</p>"
    return f'<details name="{name}" class="{kind}"><summary>{answer["answer"]}</summary>{feedback}</details>'
