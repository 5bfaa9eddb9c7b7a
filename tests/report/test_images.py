import base64

import cv2
import numpy as np

from tfsupermask.report.images import confusion_map, image_uri, shade


def decode(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    encoded = np.frombuffer(base64.b64decode(body), np.uint8)
    return cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)


def test_pixels_and_opacity_survive(rng):
    image = rng.integers(0, 256, (5, 7, 4), np.uint8)
    np.testing.assert_array_equal(decode(image_uri(image))[..., [2, 1, 0, 3]], image)
    rgb = image[..., :3]
    np.testing.assert_array_equal(decode(image_uri(rgb))[..., ::-1], rgb)


def test_shades_are_square_roots_of_shares():
    shades = shade(np.array([[9, 1, 0], [0, 0, 0], [1, 1, 2]]))
    expected = [[0.9, 0.1, 0], [0, 0, 0], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(shades**2, expected, atol=1e-12)


def test_map_has_one_pixel_a_cell():
    picture = confusion_map(np.array([[4, 0], [1, 3]]))
    assert picture.shape == (2, 2, 4)
    assert picture[..., 3].tolist() == [[255, 0], [128, 221]]
    right, wrong = picture[0, 0, :3].tolist(), picture[1, 0, :3].tolist()
    assert picture[1, 1, :3].tolist() == right
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
