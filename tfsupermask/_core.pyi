from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Value = TypeVar("_Value", np.uint8, np.float32)

def candidate_positions(
    boxes: npt.NDArray[np.int32],
    box_offsets: npt.NDArray[np.int64],
    image_height: int,
    image_width: int,
    patch_height: int,
    patch_width: int,
    *,
    num_threads: int = 0,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...
def filter_boxes(
    boxes: npt.NDArray[np.int32],
    box_offsets: npt.NDArray[np.int64],
    image_height: int,
    image_width: int,
    *,
    max_area_fraction: float = 0.5,
    min_height: int = 1,
    min_width: int = 1,
    num_threads: int = 0,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...
def gather_patches(
    maps: npt.NDArray[_Value],
    image_index: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
    patch_height: int,
    patch_width: int,
    *,
    row_dilation: int = 1,
    column_dilation: int = 1,
    num_threads: int = 0,
) -> npt.NDArray[_Value]: ...
def hardware_threads() -> int: ...
def nearest_centroids(
    points: npt.NDArray[np.float32],
    centroids: npt.NDArray[np.float32],
    *,
    num_threads: int = 0,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]: ...
def sample_positions(
    position_offsets: npt.NDArray[np.int64],
    samples_per_image: int,
    seed: int,
    *,
    first_image: int = 0,
    num_threads: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
def seed_centroids(
    points: npt.NDArray[np.float32],
    first: int,
    draws: npt.NDArray[np.float64],
    *,
    num_threads: int = 0,
) -> npt.NDArray[np.int64]: ...
