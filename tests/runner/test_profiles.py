"""Profiles and parameters: what is misspelt is refused before anything runs."""

import sys

import nbformat
import pytest

import fer_utils.runner.profiles  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.runner.profiles import (
    check_profile,
    find_notebooks,
    is_appendix,
    notebook_parameters,
    parameters_for,
    profile_names,
    read_profile,
    require_parameters,
)


def test_the_six_notebooks_in_order():
    assert [path.stem for path in find_notebooks()] == [
        "01_dataset",
        "02_cleaning_and_analysis",
        "03_custom_cnn",
        "04_image_augmentation",
        "05_vgg16",
        "06_resnet50",
    ]
    assert [path.stem for path in find_notebooks(["05", "03"])] == ["03_custom_cnn", "05_vgg16"]
    with pytest.raises(UserError, match="no notebook begins with '7'"):
        find_notebooks(["7"])


def test_the_appendix_comes_when_it_is_asked_for():
    series, every = find_notebooks(), find_notebooks(appendix=True)
    assert every[: len(series)] == series and not any(is_appendix(path.stem) for path in series)
    appendix = every[len(series) :]
    assert [path.stem[:3] for path in appendix] == ["A1_", "A2_", "A3_", "A4_"]
    assert all(is_appendix(path.stem) and path.parent.name == "appendix" for path in appendix)
    assert find_notebooks(["A"]) == appendix and find_notebooks(["A2", "03"]) == [series[2], appendix[1]]


@pytest.mark.parametrize("name", ["sample", "quick", "full"])
def test_committed_profiles_fit_the_notebooks(name):
    assert name in profile_names()
    check_profile(read_profile(name))


def test_committed_defaults_are_the_sample_profile():
    sample = read_profile("sample")
    for path in find_notebooks(appendix=True):
        defaults = notebook_parameters(path)
        for name, value in parameters_for(path, sample, {}).items():
            assert defaults[name] == value, (path.stem, name)


def test_quick_and_full_use_real_data_and_imagenet():
    for name in ("quick", "full"):
        profile = read_profile(name)
        for path in find_notebooks(appendix=True):
            assert parameters_for(path, profile, {}).get("DATA") == ""
    full = read_profile("full")
    for stem in ("05_vgg16", "06_resnet50"):
        assert full[stem]["IMAGE_SIZE"] == 224 and full["all"]["WEIGHTS"] == "imagenet"


@pytest.mark.parametrize(
    "profile, message",
    [
        ({"03_custom_cnn": {"EPOCH": 3}}, "there is no parameter 'EPOCH' in 03_custom_cnn: "),
        ({"all": {"EPOHCS": 3}}, "there is no parameter 'EPOHCS' in 01_dataset, "),
        ({"07_more": {}}, "no such notebook"),
    ],
)
def test_unknown_names_are_refused(profile, message):
    with pytest.raises(UserError, match=message):
        check_profile(profile)


def test_an_override_that_none_of_the_chosen_notebooks_has_is_refused():
    for stem, name in (("01", "EPOCHS"), ("05", "WIDTH"), ("03", "IMAGE_SIZE")):
        with pytest.raises(UserError, match=f"there is no parameter '{name}' in {stem}_.*: choose from "):
            require_parameters([name], find_notebooks([stem]))
    require_parameters(["WIDTH"], find_notebooks(["03", "05"]))


def test_overrides_win_over_the_notebook_over_all():
    (path,) = find_notebooks(["03"])
    profile = {"all": {"EPOCHS": 1, "SEED": 1, "WEIGHTS": "x"}, "03_custom_cnn": {"EPOCHS": 2}}
    assert parameters_for(path, profile, {"SEED": 9}) == {"EPOCHS": 2, "SEED": 9}


def test_unknown_profile():
    with pytest.raises(UserError, match="unknown profile 'fast': choose one of full, quick, sample"):
        read_profile("fast")


@pytest.mark.parametrize("content", ["all: [1, 2]", "just text", "all: {: :"])
def test_malformed_profile(tmp_path, monkeypatch, content):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "bad.yaml").write_text(content)
    monkeypatch.setattr(sys.modules["fer_utils.runner.profiles"], "notebook_folder", lambda: tmp_path)
    with pytest.raises(UserError, match="bad.yaml"):
        read_profile("bad")


@pytest.mark.parametrize("source", ["X = 1 + a", "print(3)", "X.y = 3"])
def test_parameters_cell_holds_literals_only(tmp_path, source):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "n.ipynb")
    with pytest.raises(UserError, match="only NAME = literal"):
        notebook_parameters(tmp_path / "n.ipynb")


def test_notebook_without_parameters(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    with pytest.raises(UserError, match="0 cells tagged 'parameters'"):
        notebook_parameters(tmp_path / "n.ipynb")
