"""The screening rules on faces made up for the purpose."""

import cv2
import numpy as np
import pytest
from portraits import astronaut

from fer_utils.detector.faces import FaceFinder
from workshop.sample.closeness import closeness_limit, loneliness, near_pairs, nearest, pixel_vectors, shape_vectors
from workshop.sample.screen import face_likeness, screen, typicality


@pytest.fixture(scope="module")
def pictures():
    """Smooth random pictures, `uint8 (80, 48, 48)`, no two alike."""
    coarse = np.random.default_rng(0).integers(0, 256, (80, 6, 6)).astype("uint8")
    return np.stack([cv2.resize(image, (48, 48), interpolation=cv2.INTER_CUBIC) for image in coarse])


@pytest.mark.parametrize("describe", [pixel_vectors, shape_vectors])
def test_a_copy_and_a_mirrored_copy_are_found(pictures, describe):
    queries = np.stack([pictures[5], pictures[9][:, ::-1], pictures[79]])
    distances, positions = nearest(queries, pictures[:70], describe)
    assert positions[:2].tolist() == [5, 9] and distances[:2].max() < 0.05 < distances[2]


def test_brightness_and_contrast_do_not_count(pictures):
    changed = (pictures[:5].astype("float32") * 0.5 + 40).astype("uint8")
    assert nearest(changed, pictures, pixel_vectors)[0].max() < 0.05


def test_identical_twins_do_not_set_the_limit():
    assert closeness_limit(np.concatenate([np.zeros(50), np.full(50, 0.3)])) == pytest.approx(0.3)


def test_the_later_of_a_close_pair_is_named(pictures):
    images = np.concatenate([pictures[:5], pictures[1:2, :, ::-1], pictures[3:4]])
    assert near_pairs(images, 0.1).tolist() == [5, 6]


@pytest.fixture
def nothing_by_heart(monkeypatch):
    """Halves of real pictures, as some tests take them, are what the rule against faces learned by heart finds."""
    monkeypatch.setattr("workshop.sample.screen.loneliness", lambda images, *others: np.ones(len(images)))


def test_copies_pairs_and_the_least_typical_go(pictures, monkeypatch, nothing_by_heart):
    monkeypatch.setattr("workshop.sample.screen.face_likeness", lambda images: np.zeros(len(images)))
    training = pictures[20:60]
    # Half of every real picture is kept: far from a copy, yet with familiar shapes.
    typical = np.concatenate([training[:10, :, :30], pictures[:10, :, 30:]], axis=2)
    generated = np.concatenate([typical, pictures[60:70], training[20:21], typical[3:4]])
    labels = np.array([0, 1] * 11)
    noise = np.random.default_rng(1).normal(0, 25, (10, 48, 48))
    public = np.clip(training[:10] + noise, 0, 255).astype("uint8")
    result = screen(generated, labels, training, public, share=0.5)
    assert not {20, 21} & set(result.kept.tolist())
    scores = typicality(generated, training)
    for code in (0, 1):
        kept = result.kept[labels[result.kept] == code]
        gone = np.setdiff1d(np.flatnonzero(labels[:20] == code), kept)
        assert 3 <= len(kept) <= 5 and scores[kept].min() >= np.median(scores[gone])
    assert result.counts["drawn"] == 22 and result.counts["near-identical to another"] == 1
    assert (
        result.counts["kept"]
        == len(result.kept)
        == 22 - sum(count for rule, count in result.counts.items() if rule not in ("drawn", "kept"))
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_the_search_for_near_duplicates_would_find_goes_too(pictures, monkeypatch, nothing_by_heart, mirrored):
    monkeypatch.setattr("workshop.sample.screen.face_likeness", lambda images: np.zeros(len(images)))
    training = pictures[20:60]
    moved = np.roll(pictures[3], 1, axis=1)[None]
    generated = np.concatenate([pictures[:8], moved[:, :, ::-1] if mirrored else moved])
    noise = np.random.default_rng(1).normal(0, 8, (10, 48, 48))
    public = np.clip(training[:10] + noise, 0, 255).astype("uint8")
    result = screen(generated, np.zeros(9, int), training, public, share=1.0)
    assert near_pairs(generated, result.limits["pixels"]).tolist() == []
    assert result.counts["near-identical to another"] == 1 and 8 not in result.kept


def test_a_face_learned_by_heart_is_alone_with_its_pattern_though_far_from_a_copy(pictures):
    training, other = pictures[20:60], pictures[60:70]
    # The pattern in another light, with as much of another picture as a fixed distance lets pass.
    repeated = np.clip(0.7 * training[:10] + 0.3 * pictures[:10], 0, 255).astype("uint8")[:, :, ::-1]
    for describe in (pixel_vectors, shape_vectors):
        assert nearest(repeated, training, describe)[0].min() > 0.2
    ratios = loneliness(np.concatenate([repeated, other]), training, pixel_vectors)
    assert ratios[:10].max() < 0.5 < ratios[10:].min()
    # A copy of the pattern among the real pictures does not hide it.
    twice = loneliness(repeated, np.concatenate([training, training]), pixel_vectors)
    assert np.allclose(twice, ratios[:10], atol=1e-5)


def test_faces_learned_by_heart_go_and_of_disgust_more(pictures, monkeypatch):
    monkeypatch.setattr("workshop.sample.screen.face_likeness", lambda images: np.zeros(len(images)))
    ratios = np.array([0.85, 0.9, 0.95] * 2)
    monkeypatch.setattr("workshop.sample.screen.loneliness", lambda images, *others: ratios)
    labels = np.array([3, 3, 3, 1, 1, 1])
    noise = np.random.default_rng(1).normal(0, 8, (10, 48, 48))
    public = np.clip(pictures[20:30] + noise, 0, 255).astype("uint8")
    result = screen(pictures[:6], labels, pictures[20:60], public, share=1.0)
    assert sorted(result.kept.tolist()) == [1, 2, 5] and result.counts["learned by heart"] == 3


def test_a_shifted_real_picture_is_more_typical_than_an_unknown_one(pictures):
    shifted = np.roll(pictures[:5], 1, axis=2)
    scores = typicality(np.concatenate([shifted, pictures[70:75]]), pictures[:60], neighbours=1)
    assert scores[:5].min() > scores[5:].max()


def test_what_a_face_detector_does_not_take_for_a_face_goes(pictures, monkeypatch, nothing_by_heart):
    """Each face counts by the worse of its two ranks, so typical shapes alone do not save it."""
    training, noise = pictures[20:60], np.random.default_rng(1).normal(0, 25, (10, 48, 48))
    generated = np.concatenate([training[:10, :, :30], pictures[:10, :, 30:]], axis=2)
    public = np.clip(training[:10] + noise, 0, 255).astype("uint8")
    unlike = np.arange(10) % 2
    monkeypatch.setattr("workshop.sample.screen.face_likeness", lambda images: -100.0 * unlike)
    monkeypatch.setattr("workshop.sample.screen.typicality", lambda images, training: np.arange(10.0))
    result = screen(generated, np.zeros(10, int), training, public, share=0.25)
    assert result.kept.tolist() == [8, 6]
    assert result.counts["broken: least typical, or least like a face"] >= 7


def test_a_face_is_more_like_a_face_than_its_pieces():
    (box,) = [face.box for face in FaceFinder()(astronaut())]
    left, top, right, bottom = box.astype(int)
    face = cv2.resize(cv2.cvtColor(astronaut()[top:bottom, left:right], cv2.COLOR_RGB2GRAY), (48, 48))
    quarters = face.reshape(2, 24, 2, 24)[::-1, :, ::-1].reshape(48, 48)
    one_eye = face.copy()
    one_eye[:24, :24] = face[24:, :24]
    whole, mirrored, turned, wrong_eye = face_likeness(np.stack([face, face[:, ::-1], quarters, one_eye]))
    assert whole == pytest.approx(mirrored, abs=0.01) and whole > wrong_eye > turned
