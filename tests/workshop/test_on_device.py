"""Whole epochs as one program: stopped and resumed it ends the same, and a teacher answers what is shown."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import picture
from typer.testing import CliRunner

from fer_utils.common.errors import UserError
from workshop.model.commands import app


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    folder = tmp_path_factory.mktemp("runs")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    script = Path(__file__).with_name("on_jax.py")
    finished = subprocess.run(
        [sys.executable, str(script), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.workshop
def test_stopped_and_resumed_it_ends_as_if_nothing_had_happened(on_jax):
    assert on_jax["moved"] > 1e-2
    assert on_jax["difference"] < 1e-5 and on_jax["same_weights"]


@pytest.mark.workshop
def test_the_keras_model_its_optimizer_and_the_log_know_what_was_done(on_jax):
    assert on_jax["iterations"] == 17 and on_jax["rate"] == 0 and on_jax["log"] == "17"


@pytest.mark.workshop
def test_it_learns(on_jax):
    assert on_jax["accuracy"] > 0.6


@pytest.mark.workshop
def test_the_teacher_answers_to_the_pictures_that_are_shown_once_for_each_view(on_jax):
    assert on_jax["same_held"] and on_jax["held"] == [42, 42]
    assert on_jax["views"] == ["(0, 48)", "(1, 48)"] and on_jax["views_differ"]
    assert on_jax["answer_error"] < 2e-3  # half precision


def test_without_jax_it_is_one_clear_line_and_nothing_is_begun(tmp_path):
    arguments = ["compact", "--data", "sample", "--limit", "50", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--on-device"])
    assert isinstance(result.exception, UserError) and "KERAS_BACKEND=jax" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_pictures_come_again_only_on_a_device(tmp_path):
    arguments = ["compact", "--data", "sample", "--limit", "50", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--views", "3"])
    assert result.exit_code == 2 and "--on-device" in result.output


def layer(size=48, **changed):
    from fer_utils.models.keras_start import load_keras

    load_keras()
    from workshop.model.augment import Distortion
    from workshop.model.distorted_faces import DistortedFaces

    still = dict.fromkeys(
        ("rotation", "shift", "scale", "shear", "brightness", "contrast", "erased", "mixup", "mixed"), 0.0
    )
    return DistortedFaces(size, Distortion(**still | changed), seed=3)


FACES = np.array([picture(i) for i in range(60)])
TARGETS = np.eye(7, dtype=np.float32)[np.arange(60) % 7]


def answer(made, faces=FACES):
    changed, targets = made(faces[..., np.newaxis], TARGETS[: len(faces)])
    return np.array(changed)[..., 0], np.array(targets)


def test_half_of_the_faces_are_mirrored_and_nothing_else_happens_without_a_distortion():
    changed, targets = answer(layer())
    plain, mirrored = (np.abs(changed - faces).max(axis=(1, 2)) < 1e-2 for faces in (FACES, FACES[:, :, ::-1]))
    assert (plain ^ mirrored).all() and 15 < plain.sum() < 45
    assert np.array_equal(targets, TARGETS)


@pytest.mark.parametrize("size", [40, 48])
def test_a_face_is_where_opencv_puts_it(size, monkeypatch):
    distortion = {"rotation": 20.0, "shift": 4.0, "scale": 0.2, "shear": 0.1}
    made, drawn = layer(size, **distortion), np.random.default_rng(1)
    seen = []

    def uniform(n, limit, columns=1):
        values = drawn.uniform(-limit, limit, (n, columns)).astype(np.float32)
        seen.append(values)
        return values

    monkeypatch.setattr(made, "_uniform", uniform)
    changed, _ = answer(made, FACES[:12])
    angle, scale, shear, mirror, shift = (seen[i] for i in range(5))
    middle, window = 23.5, (size - 1) / 2
    for i, face in enumerate(FACES[:12]):
        cos, sin = np.cos(angle[i, 0]), np.sin(angle[i, 0])
        linear = np.exp(scale[i, 0]) * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear[i, 0]], [0, 1]])
        linear = linear @ np.diag([np.sign(mirror[i, 0]), 1.0])
        offset = window - linear @ [middle, middle] + shift[i]
        expected = cv2.warpAffine(
            face.astype(np.float32), np.column_stack([linear, offset]), (size, size), borderMode=cv2.BORDER_REPLICATE
        )
        # OpenCV rounds positions to a 32nd of a pixel.
        assert np.abs(changed[i] - expected).mean() < 1.0


def test_hidden_rectangles_have_one_grey_and_the_sizes_of_the_other_way():
    flat = np.full((60, 48, 48), 77, np.uint8)
    changed, _ = answer(layer(erased=0.5), flat)
    hidden = changed != 77
    assert 15 < hidden.any(axis=(1, 2)).sum() < 45
    for face, mask in zip(changed, hidden, strict=True):
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert 6 <= len(rows) <= 16 and 6 <= len(columns) <= 16 and len(set(face[mask])) == 1


def test_light_and_contrast_stay_within_their_limits():
    flat = np.full((60, 48, 48), 128, np.uint8)
    light, _ = answer(layer(brightness=0.2), flat)
    assert light.min() >= 128 - 51.1 and light.max() <= 128 + 51.1 and light[:, 0, 0].std() > 15
    faces = np.clip(FACES, 78, 178)
    contrast = answer(layer(contrast=0.3), faces)[0]
    gains = contrast.reshape(60, -1).std(axis=1) / faces.reshape(60, -1).std(axis=1)
    assert 0.69 < gains.min() < 0.85 and 1.15 < gains.max() < 1.31


def test_blended_faces_carry_their_targets_in_the_same_shares():
    faces = np.repeat((np.arange(60) * 4).astype(np.uint8), 48 * 48).reshape(60, 48, 48)
    changed, targets = answer(layer(mixup=0.4, mixed=1.0), faces)
    share = (changed[1:, 0, 0] - faces[:-1, 0, 0]) / 4.0
    assert np.allclose(share, share[0], atol=1e-3) and 0.5 <= share[0] <= 1
    assert np.allclose(targets.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(targets[1:], share[0] * TARGETS[1:] + (1 - share[0]) * TARGETS[:-1], atol=1e-3)
