// The Python face of the core: checks what it is given, lets go of the interpreter's
// lock, and calls the plain C++ beside it.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "boxes.h"
#include "gather.h"
#include "kmeans.h"
#include "parallel.h"
#include "python_arguments.h"
#include "sampling.h"

namespace tfsupermask {
namespace {

IndexArray<int32_t> Boxes(const py::handle& value) {
  auto boxes = Indices<int32_t>("boxes", value);
  if (boxes.ndim() == 2 && boxes.shape(1) == 4) return boxes;
  throw Fail("`boxes` must have shape (n, 4).", Shape(boxes));
}

const Box* BoxData(const IndexArray<int32_t>& boxes) {
  return reinterpret_cast<const Box*>(boxes.data());
}

// Offsets of each image's part of a list, one more than there are images.
IndexArray<int64_t> Offsets(const char* name, const py::handle& value) {
  auto offsets = Indices<int64_t>(name, value);
  const std::string quoted = "`" + std::string(name) + "`";
  if (offsets.ndim() != 1 || offsets.size() == 0) {
    throw Fail(quoted + " must have shape (n + 1,).", Shape(offsets));
  }
  const int64_t* data = offsets.data();
  const auto entry = [&](int64_t i) {
    return name + ("[" + std::to_string(i) + "]=") + std::to_string(data[i]);
  };
  if (data[0] != 0) throw Fail(quoted + " must begin with 0.", entry(0));
  for (int64_t i = 1; i < offsets.size(); ++i) {
    if (data[i] >= data[i - 1]) continue;
    throw Fail(quoted + " must not decrease.", entry(i - 1) + ", " + entry(i));
  }
  return offsets;
}

// Each image's part of `boxes`, whose arrays it points to.
ImageBoxes BoxesOfImages(const IndexArray<int32_t>& boxes,
                         const IndexArray<int64_t>& offsets) {
  const int64_t num_images = offsets.size() - 1;
  if (offsets.at(num_images) != boxes.shape(0)) {
    throw Fail("`box_offsets` must end with the number of boxes, " +
                   std::to_string(boxes.shape(0)) + ".",
               "box_offsets[" + std::to_string(num_images) +
                   "]=" + std::to_string(offsets.at(num_images)));
  }
  return {BoxData(boxes), offsets.data(), num_images};
}

std::pair<py::array_t<int32_t>, py::array_t<int64_t>> FilterBoxesPy(
    const py::object& boxes, const py::object& box_offsets,
    const py::object& image_height, const py::object& image_width,
    const py::object& max_area_fraction, const py::object& min_height,
    const py::object& min_width, const py::object& num_threads) {
  const IndexArray<int32_t> rows = Boxes(boxes);
  const IndexArray<int64_t> row_offsets = Offsets("box_offsets", box_offsets);
  const ImageBoxes image_boxes = BoxesOfImages(rows, row_offsets);
  const Size image{Pixels("image_height", image_height),
                   Pixels("image_width", image_width)};
  const double fraction = Fraction("max_area_fraction", max_area_fraction);
  const Size smallest{Pixels("min_height", min_height), Pixels("min_width", min_width)};
  const int threads = NumThreads(num_threads);

  BoxList kept;
  {
    const py::gil_scoped_release unlocked;
    kept = FilterBoxes(image_boxes, {image, fraction, smallest}, threads);
  }
  py::array_t<int32_t> result(
      {static_cast<py::ssize_t>(kept.boxes.size()), py::ssize_t{4}});
  if (!kept.boxes.empty()) {
    std::memcpy(result.mutable_data(), kept.boxes.data(),
                kept.boxes.size() * sizeof(Box));
  }
  return {result, py::array_t<int64_t>(static_cast<py::ssize_t>(kept.offsets.size()),
                                       kept.offsets.data())};
}

std::pair<py::array_t<int32_t>, py::array_t<int64_t>> CandidatePositionsPy(
    const py::object& boxes, const py::object& box_offsets,
    const py::object& image_height, const py::object& image_width,
    const py::object& patch_height, const py::object& patch_width,
    const py::object& num_threads) {
  const IndexArray<int32_t> rows = Boxes(boxes);
  const IndexArray<int64_t> row_offsets = Offsets("box_offsets", box_offsets);
  const ImageBoxes image_boxes = BoxesOfImages(rows, row_offsets);
  const Size image{Pixels("image_height", image_height),
                   Pixels("image_width", image_width)};
  const Size patch{
      static_cast<int32_t>(Integer("patch_height", patch_height, 1, image.height)),
      static_cast<int32_t>(Integer("patch_width", patch_width, 1, image.width))};
  const int threads = NumThreads(num_threads);

  std::vector<int64_t> offsets;
  {
    const py::gil_scoped_release unlocked;
    CheckInside(image_boxes, image);
    offsets = CandidateOffsets(image_boxes, image, patch, threads);
  }
  py::array_t<int32_t> positions(
      {static_cast<py::ssize_t>(offsets.back()), py::ssize_t{2}});
  auto* data = reinterpret_cast<Position*>(positions.mutable_data());
  {
    const py::gil_scoped_release unlocked;
    CandidatePositions(image_boxes, image, patch, threads, offsets, data);
  }
  return {positions, py::array_t<int64_t>(static_cast<py::ssize_t>(offsets.size()),
                                          offsets.data())};
}

std::pair<py::array_t<int64_t>, py::array_t<int64_t>> SamplePositionsPy(
    const py::object& position_offsets, const py::object& samples_per_image,
    const py::object& seed, const py::object& first_image,
    const py::object& num_threads) {
  const IndexArray<int64_t> offsets = Offsets("position_offsets", position_offsets);
  const SampleRequest request{
      offsets.data(), offsets.size() - 1,
      Integer("samples_per_image", samples_per_image, 1, kMaxInt64), Seed(seed),
      Integer("first_image", first_image, 0, kMaxInt64)};
  const int threads = NumThreads(num_threads);

  const int64_t num_samples = NumSamples(request);
  py::array_t<int64_t> indices(num_samples);
  py::array_t<int64_t> image_index(num_samples);
  int64_t* const index_data = indices.mutable_data();
  int64_t* const image_data = image_index.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    SamplePositions(request, threads, index_data, image_data);
  }
  return {indices, image_index};
}

// The product of `sizes`, or -1 if it exceeds 2^63 - 1. A size of 0 counts as 1, as
// NumPy bounds the other sizes of an empty array as well.
int64_t BoundedProduct(std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  for (int64_t size : sizes) {
    size = std::max<int64_t>(size, 1);
    if (product > kMaxInt64 / size) return -1;
    product *= size;
  }
  return product;
}

py::array GatherPatchesPy(const py::object& maps, const py::object& image_index,
                          const py::object& rows, const py::object& columns,
                          const py::object& patch_height, const py::object& patch_width,
                          const py::object& row_dilation,
                          const py::object& column_dilation,
                          const py::object& num_threads) {
  const py::array in = AnyArray("maps", "uint8 or float32", maps);
  if (!py::isinstance<py::array_t<uint8_t>>(in) &&
      !py::isinstance<py::array_t<float>>(in)) {
    throw Fail("`maps` must have dtype uint8 or float32.",
               "dtype=" + std::string(py::str(in.dtype())));
  }
  if (in.ndim() != 4 || in.shape(1) == 0 || in.shape(2) == 0 || in.shape(3) == 0) {
    throw Fail("`maps` must have shape (n, height, width, channels), none but n zero.",
               Shape(in));
  }
  if ((in.flags() & py::array::c_style) == 0) {
    throw Fail("`maps` must be C-contiguous.",
               Shape(in) + ", strides=" + Repr(in.attr("strides")));
  }
  const auto index_array = Indices<int64_t>("image_index", image_index);
  if (index_array.ndim() != 1) {
    throw Fail("`image_index` must have shape (num_patches,).", Shape(index_array));
  }
  const int64_t num_patches = index_array.size();
  const auto coordinates = [&](const char* name, const py::object& value) {
    auto array = Indices<int32_t>(name, value);
    if (array.ndim() == 1 && array.size() == num_patches) return array;
    throw Fail("`" + std::string(name) + "` must have shape (" +
                   std::to_string(num_patches) + ",), that of `image_index`.",
               Shape(array));
  };
  const IndexArray<int32_t> row_array = coordinates("rows", rows);
  const IndexArray<int32_t> column_array = coordinates("columns", columns);
  GatherRequest request{static_cast<const std::byte*>(in.data()),
                        in.shape(0),
                        in.shape(1),
                        in.shape(2),
                        in.shape(3) * in.itemsize(),
                        num_patches,
                        index_array.data(),
                        row_array.data(),
                        column_array.data(),
                        Pixels("patch_height", patch_height),
                        Pixels("patch_width", patch_width),
                        Pixels("row_dilation", row_dilation),
                        Pixels("column_dilation", column_dilation)};
  const int threads = NumThreads(num_threads);
  const std::vector<py::ssize_t> shape{num_patches, request.patch_height,
                                       request.patch_width, in.shape(3)};
  if (BoundedProduct({num_patches, request.patch_height, request.patch_width,
                      request.pixel_bytes}) < 0) {
    throw Fail("The patches must fit in 2**63 - 1 bytes.",
               "shape=" + Repr(py::make_tuple(num_patches, request.patch_height,
                                              request.patch_width, in.shape(3))));
  }
  py::array out(in.dtype(), shape);
  auto* const data = static_cast<std::byte*>(out.mutable_data());
  {
    const py::gil_scoped_release unlocked;
    GatherPatches(request, threads, data);
  }
  return out;
}

// Points or centroids as rows; `values` keeps them.
Matrix Rows(const char* name, const IndexArray<float>& values) {
  if (values.ndim() == 2) return {values.data(), values.shape(0), values.shape(1)};
  throw Fail("`" + std::string(name) + "` must have shape (n, length).", Shape(values));
}

std::pair<py::array_t<int32_t>, py::array_t<float>> NearestCentroidsPy(
    const py::object& points, const py::object& centroids,
    const py::object& num_threads) {
  const auto point_values = Indices<float>("points", points);
  const auto centroid_values = Indices<float>("centroids", centroids);
  const Matrix point_rows = Rows("points", point_values);
  const Matrix rows = Rows("centroids", centroid_values);
  if (rows.num_rows == 0 || rows.num_rows > kMaxInt32 ||
      rows.length != point_rows.length) {
    throw Fail("`centroids` must have shape (1 to 2**31 - 1, " +
                   std::to_string(point_rows.length) + ").",
               Shape(centroid_values));
  }
  const int threads = NumThreads(num_threads);

  py::array_t<int32_t> nearest(point_rows.num_rows);
  py::array_t<float> squared_distance(point_rows.num_rows);
  int32_t* const nearest_data = nearest.mutable_data();
  float* const squared_data = squared_distance.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    NearestCentroids(point_rows, rows, threads, nearest_data, squared_data);
  }
  return {nearest, squared_distance};
}

py::array_t<int64_t> SeedCentroidsPy(const py::object& points, const py::object& first,
                                     const py::object& draws,
                                     const py::object& num_threads) {
  const auto values = Indices<float>("points", points);
  const Matrix rows = Rows("points", values);
  if (rows.num_rows == 0) throw Fail("`points` must not be empty.", Shape(values));
  const int64_t first_seed = Integer("first", first, 0, rows.num_rows - 1);
  const auto draw_values = Indices<double>("draws", draws);
  if (draw_values.ndim() != 2 || draw_values.shape(1) == 0) {
    throw Fail("`draws` must have shape (num_seeds - 1, num_trials).",
               Shape(draw_values));
  }
  const int threads = NumThreads(num_threads);

  const Draws trials{draw_values.data(), draw_values.shape(0) + 1,
                     draw_values.shape(1)};
  py::array_t<int64_t> seeds(trials.num_seeds);
  int64_t* const seed_data = seeds.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    SeedCentroids(rows, first_seed, trials, threads, seed_data);
  }
  return seeds;
}

constexpr char kModuleDoc[] =
    R"(The inner loops of the patch search: boxes, positions, samples, patches, clusters.

Coordinates are (row, column) in pixels; a box is an int32 row (top, left, height,
width). Arrays must have exactly the dtype named: nothing is cast. Index arrays (boxes,
offsets, rows, ...) that are not C-contiguous are copied; maps must be C-contiguous.

Every function lets other Python threads run while it works. `num_threads` (0: one per
core) never changes a result. Unusable arguments raise ValueError.
)";

constexpr char kFilterBoxesDoc[] =
    R"(Clips boxes to the image and drops those of no use.

Dropped are boxes without area, those covering more than `max_area_fraction`, in (0, 1],
of the image, those lower than `min_height` or narrower than `min_width`, and
repetitions within an image. Image i has the boxes, int32 (total, 4), from
`box_offsets[i]` to `box_offsets[i + 1]`, int64 (n + 1,). Returns those that stay, in
their order, and each image's part of them, alike.
)";

constexpr char kCandidatePositionsDoc[] =
    R"(Finds where a patch lies wholly inside one of its image's boxes.

Boxes and offsets are those of `filter_boxes`, all inside the image. An image without
such a position gets all those at which the patch, at most the image's size, lies inside
the image. Returns int32 (k, 2), top lefts, each once, image by image and row by row,
and int64 (n + 1,), each image's part of them.
)";

constexpr char kSamplePositionsDoc[] =
    R"(Draws positions of each image without replacement.

`position_offsets`, int64 (n + 1,), is each image's part of the list of positions; one
with fewer than `samples_per_image` gives all it has. The draw from image i depends on
nothing but `seed`, in [0, 2**64), `first_image + i`, its number of positions and
`samples_per_image`: images may be processed in parts. Returns int64 (m,), indices into
the list, grouped by image, as drawn, and int64 (m,), the image of each.
)";

constexpr char kGatherPatchesDoc[] = R"(Copies patches out of images or activation maps.

`maps` is uint8 or float32, (n, height, width, channels). Patch p has at (i, j) the
pixel of map `image_index[p]`, int64, at (`rows[p] + i * row_dilation`, `columns[p] +
j * column_dilation`), int32, zero if outside. The top left may lie from -(extent - 1),
extent being (size - 1) * dilation + 1, to the map's last. Returns the dtype of `maps`,
(num_patches, patch_height, patch_width, channels).
)";

constexpr char kNearestCentroidsDoc[] = R"(Finds the centroid nearest each point.

`points` is float32 (n, length), finite, and `centroids` float32 (c, length), c at least
1. Returns int32 (n,), the first of equally near centroids, and float32 (n,), the squared
Euclidean distance. A point from which none is finite has centroid 0 and infinity.
)";

constexpr char kSeedCentroidsDoc[] = R"(Chooses seeds by greedy k-means++.

Every seed but the first, a number in [0, n), is the best of `num_trials` of the
`points`, float32 (n, length), finite, each drawn by the random numbers in [0, 1) of
`draws`, float64 (num_seeds - 1, num_trials), with odds proportional to its squared
distance from the nearest seed so far; the best leaves the least sum of such distances.
Returns int64 (num_seeds,), indices into `points`. Fewer distinct points than seeds give
some more than once.
)";

}  // namespace

PYBIND11_MODULE(_core, module) {
  using py::literals::operator""_a;
  module.doc() = kModuleDoc;
  module.def("hardware_threads", &HardwareThreads,
             "The number of threads the machine runs at once.");
  module.def("filter_boxes", &FilterBoxesPy, kFilterBoxesDoc, "boxes"_a,
             "box_offsets"_a, "image_height"_a, "image_width"_a, py::kw_only(),
             "max_area_fraction"_a = 0.5, "min_height"_a = 1, "min_width"_a = 1,
             "num_threads"_a = 0);
  module.def("candidate_positions", &CandidatePositionsPy, kCandidatePositionsDoc,
             "boxes"_a, "box_offsets"_a, "image_height"_a, "image_width"_a,
             "patch_height"_a, "patch_width"_a, py::kw_only(), "num_threads"_a = 0);
  module.def("sample_positions", &SamplePositionsPy, kSamplePositionsDoc,
             "position_offsets"_a, "samples_per_image"_a, "seed"_a, py::kw_only(),
             "first_image"_a = 0, "num_threads"_a = 0);
  module.def("gather_patches", &GatherPatchesPy, kGatherPatchesDoc, "maps"_a,
             "image_index"_a, "rows"_a, "columns"_a, "patch_height"_a, "patch_width"_a,
             py::kw_only(), "row_dilation"_a = 1, "column_dilation"_a = 1,
             "num_threads"_a = 0);
  module.def("nearest_centroids", &NearestCentroidsPy, kNearestCentroidsDoc, "points"_a,
             "centroids"_a, py::kw_only(), "num_threads"_a = 0);
  module.def("seed_centroids", &SeedCentroidsPy, kSeedCentroidsDoc, "points"_a,
             "first"_a, "draws"_a, py::kw_only(), "num_threads"_a = 0);
}

}  // namespace tfsupermask
