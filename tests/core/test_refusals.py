"""What the functions of the C++ core refuse, with the value received."""

import re

import numpy as np
import pytest

from tfsupermask import _core

BOXES = np.array([[0, 0, 3, 3], [1, 1, 4, 4]], np.int32)
GOOD = {
    "candidate_positions": {
        "boxes": BOXES,
        "box_offsets": np.array([0, 2]),
        "image_height": 6,
        "image_width": 7,
        "patch_height": 3,
        "patch_width": 3,
    },
    "filter_boxes": {
        "boxes": BOXES,
        "box_offsets": np.array([0, 2]),
        "image_height": 10,
        "image_width": 10,
    },
    "gather_patches": {
        "maps": np.zeros((2, 5, 6, 3), np.float32),
        "image_index": np.zeros(2, np.int64),
        "rows": np.zeros(2, np.int32),
        "columns": np.zeros(2, np.int32),
        "patch_height": 3,
        "patch_width": 3,
        "column_dilation": 2,
    },
    "nearest_centroids": {
        "points": np.zeros((4, 3), np.float32),
        "centroids": np.ones((2, 3), np.float32),
    },
    "sample_positions": {
        "position_offsets": np.array([0, 3]),
        "samples_per_image": 2,
        "seed": 0,
    },
    "seed_centroids": {
        "points": np.zeros((4, 3), np.float32),
        "first": 0,
        "draws": np.zeros((2, 2)),
    },
}
INSIDE = (
    "`boxes` must be rows (top, left, height, width) that lie inside the image. "
    "Received: boxes[{}, image_height=6, image_width=7"
)
POSITIVE = "an integer in [1, 2147483647]. Received: "
THREADS = "an integer in [0, 1024]. Received: "


def boxes(*rows):
    return np.array(rows, np.int32)


def zeros(*shape, dtype="int32"):
    return np.zeros(shape, dtype)


# Which argument is changed, to what, and what the message says it must be instead.
CHANGES = {
    "candidate_positions": [
        ("boxes", zeros(3, 5), "have shape (n, 4). Received: shape=(3, 5)"),
        ("boxes", zeros(1, 4, dtype="f"), "dtype int32. Received: dtype=float32"),
        ("boxes", boxes([0, 0, 1, 1], [4, 0, 3, 2]), INSIDE.format("1]=(4, 0, 3, 2)")),
        ("boxes", boxes([0, 0, 1, 1], [0, 0, 0, 2]), INSIDE.format("1]=(0, 0, 0, 2)")),
        ("boxes", boxes([0, -1, 1, 1], [0, 0, 1, 2]), "boxes[0]=(0, -1, 1, 1)"),
        (
            "boxes",
            boxes([0, 0, 1, 1], [5, 0, 2**31 - 1, 1]),
            "boxes[1]=(5, 0, 2147483647, 1)",
        ),
        ("box_offsets", zeros(1, 2, dtype=int), "(n + 1,). Received: shape=(1, 2)"),
        ("box_offsets", zeros(0, dtype=int), "(n + 1,). Received: shape=(0,)"),
        ("box_offsets", boxes(0, 2), "have dtype int64. Received: dtype=int32"),
        ("box_offsets", np.array([1, 2]), "begin with 0. Received: box_offsets[0]=1"),
        (
            "box_offsets",
            np.array([0, 3, 2]),
            "not decrease. Received: box_offsets[1]=3, box_offsets[2]=2",
        ),
        (
            "box_offsets",
            np.array([0, 1]),
            "end with the number of boxes, 2. Received: box_offsets[1]=1",
        ),
        ("image_height", 0, POSITIVE + "image_height=0"),
        ("image_width", -7, POSITIVE + "image_width=-7"),
        ("patch_height", 7, "an integer in [1, 6]. Received: patch_height=7"),
        ("patch_width", 0, "an integer in [1, 7]. Received: patch_width=0"),
        ("num_threads", -1, THREADS + "num_threads=-1"),
    ],
    "filter_boxes": [
        ("boxes", zeros(3, 5), "have shape (n, 4). Received: shape=(3, 5)"),
        ("boxes", zeros(4), "have shape (n, 4). Received: shape=(4,)"),
        ("boxes", zeros(1, 4, dtype=int), "have dtype int32. Received: dtype=int64"),
        ("boxes", zeros(1, 4, dtype=">i4"), "have dtype int32. Received: dtype=>i4"),
        ("boxes", [[0, 0, 1, 1]], "a NumPy array of int32. Received: type='list'"),
        ("box_offsets", np.array([1, 2]), "begin with 0. Received: box_offsets[0]=1"),
        ("box_offsets", np.array([0, 2, 0]), "not decrease."),
        ("box_offsets", np.array([0, 3]), "end with the number of boxes, 2."),
        ("image_height", 0, POSITIVE + "image_height=0"),
        ("image_width", 2.5, POSITIVE + "image_width=2.5"),
        ("image_width", 2**31, POSITIVE + "image_width=2147483648"),
        ("image_width", 10**30, POSITIVE + f"image_width={10**30}"),
        ("image_width", True, POSITIVE + "image_width=True"),
        ("image_width", np.True_, POSITIVE + "image_width=np.True_"),
        ("image_width", None, POSITIVE + "image_width=None"),
        (
            "max_area_fraction",
            0.0,
            "a number in (0, 1]. Received: max_area_fraction=0.0",
        ),
        ("max_area_fraction", 1.01, "Received: max_area_fraction=1.01"),
        ("max_area_fraction", float("nan"), "Received: max_area_fraction=nan"),
        ("max_area_fraction", np.True_, "Received: max_area_fraction=np.True_"),
        ("max_area_fraction", "0.5", "Received: max_area_fraction='0.5'"),
        ("max_area_fraction", 10**400, "Received: max_area_fraction=1000"),
        ("min_height", 0, "Received: min_height=0"),
        ("min_width", -1, "Received: min_width=-1"),
    ],
    "gather_patches": [
        ("maps", np.zeros((2, 5, 6, 3)), "dtype uint8 or float32. Received: dtype=flo"),
        ("maps", [[1, 2]], "a NumPy array of uint8 or float32. Received: type='list'"),
        (
            "maps",
            zeros(5, 6, 3, dtype="u1"),
            "have shape (n, height, width, channels), none but n zero. "
            "Received: shape=(5, 6, 3)",
        ),
        ("maps", zeros(2, 5, 0, 3, dtype="u1"), "Received: shape=(2, 5, 0, 3)"),
        (
            "maps",
            zeros(2, 3, 5, 6, dtype="u1").transpose(0, 2, 3, 1),
            "be C-contiguous. Received: shape=(2, 5, 6, 3), strides=(90, 6, 1, 30)",
        ),
        ("image_index", zeros(2), "have dtype int64. Received: dtype=int32"),
        (
            "image_index",
            zeros(2, 1, dtype=int),
            "have shape (num_patches,). Received: shape=(2, 1)",
        ),
        ("rows", zeros(3), "shape (2,), that of `image_index`. Received: shape=(3,)"),
        ("columns", zeros(2, dtype=int), "have dtype int32. Received: dtype=int64"),
        ("image_index", np.array([0, 2]), "lie in [0, 1]. Received: image_index[1]=2"),
        ("image_index", np.array([-1, 0]), "Received: image_index[0]=-1"),
        ("rows", boxes(0, -3), "lie in [-2, 4]. Received: rows[1]=-3"),
        ("rows", boxes(5, 0), "lie in [-2, 4]. Received: rows[0]=5"),
        ("columns", boxes(0, -5), "lie in [-4, 5]. Received: columns[1]=-5"),
        ("columns", boxes(0, 6), "lie in [-4, 5]. Received: columns[1]=6"),
        ("patch_height", 0, POSITIVE + "patch_height=0"),
        ("patch_width", 2**31, POSITIVE + "patch_width=2147483648"),
        ("row_dilation", 0, POSITIVE + "row_dilation=0"),
        ("column_dilation", -2, POSITIVE + "column_dilation=-2"),
        ("num_threads", 1.0, THREADS + "num_threads=1.0"),
    ],
    "nearest_centroids": [
        ("points", zeros(4, dtype="f"), "have shape (n, length). Received: shape=(4,)"),
        ("points", np.zeros((4, 3)), "have dtype float32. Received: dtype=float64"),
        (
            "centroids",
            zeros(2, 5, dtype="f"),
            "have shape (1 to 2**31 - 1, 3). Received: shape=(2, 5)",
        ),
        ("centroids", zeros(0, 3, dtype="f"), "Received: shape=(0, 3)"),
        ("centroids", [[0.0]], "a NumPy array of float32. Received: type='list'"),
        ("num_threads", -1, THREADS + "num_threads=-1"),
    ],
    "sample_positions": [
        ("position_offsets", np.array([1, 2]), "begin with 0. Received: position_of"),
        (
            "position_offsets",
            np.array([0, 5, 4]),
            "Received: position_offsets[1]=5, position_offsets[2]=4",
        ),
        ("position_offsets", np.zeros(2), "dtype int64. Received: dtype=float64"),
        ("position_offsets", np.int64(4), "array of int64. Received: type='int64'"),
        (
            "samples_per_image",
            0,
            "an integer of at least 1. Received: samples_per_image=0",
        ),
        ("samples_per_image", 2**63, f"Received: samples_per_image={2**63}"),
        ("seed", -1, "an integer in [0, 2**64). Received: seed=-1"),
        ("seed", 2**64, f"Received: seed={2**64}"),
        ("seed", 0.5, "Received: seed=0.5"),
        ("seed", None, "Received: seed=None"),
        ("first_image", -1, "an integer of at least 0. Received: first_image=-1"),
        ("num_threads", 1025, THREADS + "num_threads=1025"),
    ],
    "seed_centroids": [
        ("points", zeros(0, 3, dtype="f"), "not be empty."),
        ("points", np.zeros((4, 3)), "have dtype float32. Received: dtype=float64"),
        ("first", 4, "an integer in [0, 3]. Received: first=4"),
        ("first", -1, "an integer in [0, 3]. Received: first=-1"),
        (
            "draws",
            np.zeros((2, 0)),
            "have shape (num_seeds - 1, num_trials). Received: shape=(2, 0)",
        ),
        ("draws", np.zeros(2), "Received: shape=(2,)"),
        ("num_threads", 1025, THREADS + "num_threads=1025"),
    ],
}


@pytest.mark.parametrize(
    ("function", "name", "value", "message"),
    [(function, *change) for function in CHANGES for change in CHANGES[function]],
)
def test_refuses_with_the_value_received(function, name, value, message):
    arguments = {**GOOD[function], name: value}
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        getattr(_core, function)(**arguments)
    assert str(error.value).startswith(f"`{name}` must ")


def test_refuses_patches_that_do_not_fit_in_63_bits():
    sizes = {"patch_height": 2**31 - 1, "patch_width": 2**31 - 1}
    message = (
        "The patches must fit in 2**63 - 1 bytes. "
        "Received: shape=(2, 2147483647, 2147483647, 3)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        _core.gather_patches(**{**GOOD["gather_patches"], **sizes})
