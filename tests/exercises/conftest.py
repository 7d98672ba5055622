"""Every worked solution is tested in the same way: a new one needs only its notebook and its wrong answers."""

import nbformat
import pytest

from workshop.exercises import find_solutions


@pytest.fixture(scope="module", params=find_solutions(), ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def solution(path):
    return nbformat.read(path, as_version=4)
