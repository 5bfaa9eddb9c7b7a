#include "boxes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace tfsupermask {
namespace {

constexpr int64_t kImagesPerBlock = 16;

// Marks the positions of one image at a time. Reused between images, since the grid is
// the only memory that the search needs.
class PositionGrid {
 public:
  PositionGrid(Size image, Size patch)
      : patch_(patch),
        rows_(int64_t{image.height} - patch.height + 1),
        columns_(int64_t{image.width} - patch.width + 1) {}

  // Calls `visit(row, column)` for each candidate position of image `index`.
  template <typename Visit>
  void ForEach(const ImageBoxes& all, int64_t index, const Visit& visit) {
    if (!Mark(all.boxes + all.offsets[index], all.boxes + all.offsets[index + 1])) {
      for (int64_t row = 0; row < rows_; ++row) {
        for (int64_t column = 0; column < columns_; ++column) visit(row, column);
      }
      return;
    }
    // Summed along both axes, the marks become the number of boxes at each position.
    for (int64_t row = 0; row < rows_; ++row) {
      int64_t along_row = 0;
      for (int64_t column = 0; column < columns_; ++column) {
        along_row += At(row, column);
        sums_[column] += along_row;
        if (sums_[column] > 0) visit(row, column);
      }
    }
  }

 private:
  // Marks the corners of each box's rectangle of positions; false if none has any.
  bool Mark(const Box* begin, const Box* end) {
    bool any = false;
    for (const Box* box = begin; box != end; ++box) {
      if (box->height < patch_.height || box->width < patch_.width) continue;
      if (!any) Clear();
      any = true;
      const int64_t bottom = int64_t{box->top} + box->height - patch_.height + 1;
      const int64_t right = int64_t{box->left} + box->width - patch_.width + 1;
      ++At(box->top, box->left);
      --At(box->top, right);
      --At(bottom, box->left);
      ++At(bottom, right);
    }
    return any;
  }

  void Clear() {
    marks_.assign(static_cast<size_t>((rows_ + 1) * (columns_ + 1)), 0);
    sums_.assign(static_cast<size_t>(columns_), 0);
  }

  int64_t& At(int64_t row, int64_t column) {
    return marks_[static_cast<size_t>(row * (columns_ + 1) + column)];
  }

  Size patch_;
  int64_t rows_;
  int64_t columns_;
  std::vector<int64_t> marks_;  // (rows_ + 1) × (columns_ + 1)
  std::vector<int64_t> sums_;   // of the rows so far, per column
};

// Writes one image's boxes of use to `kept` and returns how many they are.
int64_t FilterImage(const Box* begin, const Box* end, const BoxFilter& filter,
                    Box* kept) {
  const Size image = filter.image;
  const double image_area = static_cast<double>(int64_t{image.height} * image.width);
  std::set<std::array<int32_t, 4>> seen;
  int64_t count = 0;
  for (const Box* box = begin; box != end; ++box) {
    const int64_t top = std::max<int64_t>(box->top, 0);
    const int64_t left = std::max<int64_t>(box->left, 0);
    const int64_t bottom =
        std::min<int64_t>(int64_t{box->top} + box->height, image.height);
    const int64_t right =
        std::min<int64_t>(int64_t{box->left} + box->width, image.width);
    const int64_t height = bottom - top;
    const int64_t width = right - left;
    if (height < std::max(filter.smallest.height, 1) ||
        width < std::max(filter.smallest.width, 1)) {
      continue;
    }
    // The quotient is rounded as a decimal literal is: 29 of 100 pixels are exactly
    // 0.29, whereas 0.29 × 100 is less than 29.
    if (static_cast<double>(height * width) / image_area > filter.max_area_fraction) {
      continue;
    }
    const Box clipped{static_cast<int32_t>(top), static_cast<int32_t>(left),
                      static_cast<int32_t>(height), static_cast<int32_t>(width)};
    if (seen.insert({clipped.top, clipped.left, clipped.height, clipped.width})
            .second) {
      kept[count++] = clipped;
    }
  }
  return count;
}

}  // namespace

BoxList FilterBoxes(const ImageBoxes& boxes, const BoxFilter& filter, int num_threads) {
  BoxList kept;
  kept.boxes.resize(static_cast<size_t>(boxes.offsets[boxes.num_images]));
  kept.offsets.assign(static_cast<size_t>(boxes.num_images) + 1, 0);
  ParallelFor(
      boxes.num_images, kImagesPerBlock, num_threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          kept.offsets[static_cast<size_t>(i) + 1] = FilterImage(
              boxes.boxes + boxes.offsets[i], boxes.boxes + boxes.offsets[i + 1],
              filter, kept.boxes.data() + boxes.offsets[i]);
        }
      });
  // Each image's boxes lie where those it had began; close the gaps.
  for (int64_t i = 0; i < boxes.num_images; ++i) {
    const auto first = kept.boxes.begin() + boxes.offsets[i];
    const size_t image = static_cast<size_t>(i);
    std::copy(first, first + kept.offsets[image + 1],
              kept.boxes.begin() + kept.offsets[image]);
    kept.offsets[image + 1] += kept.offsets[image];
  }
  kept.boxes.resize(static_cast<size_t>(kept.offsets.back()));
  return kept;
}

void CheckInside(const ImageBoxes& boxes, Size image) {
  for (int64_t i = 0; i < boxes.offsets[boxes.num_images]; ++i) {
    const Box& box = boxes.boxes[i];
    const bool inside = box.top >= 0 && box.left >= 0 && box.height >= 1 &&
                        box.width >= 1 &&
                        int64_t{box.top} + box.height <= image.height &&
                        int64_t{box.left} + box.width <= image.width;
    if (inside) continue;
    throw std::invalid_argument(
        "`boxes` must be rows (top, left, height, width) that lie inside the image. "
        "Received: boxes[" +
        std::to_string(i) + "]=(" + std::to_string(box.top) + ", " +
        std::to_string(box.left) + ", " + std::to_string(box.height) + ", " +
        std::to_string(box.width) + "), image_height=" + std::to_string(image.height) +
        ", image_width=" + std::to_string(image.width));
  }
}

std::vector<int64_t> CandidateOffsets(const ImageBoxes& boxes, Size image, Size patch,
                                      int num_threads) {
  std::vector<int64_t> offsets(static_cast<size_t>(boxes.num_images) + 1, 0);
  ParallelFor(boxes.num_images, kImagesPerBlock, num_threads,
              [&](int64_t begin, int64_t end) {
                PositionGrid grid(image, patch);
                for (int64_t i = begin; i < end; ++i) {
                  int64_t count = 0;
                  grid.ForEach(boxes, i, [&](int64_t, int64_t) { ++count; });
                  offsets[static_cast<size_t>(i) + 1] = count;
                }
              });
  for (size_t i = 1; i < offsets.size(); ++i) offsets[i] += offsets[i - 1];
  return offsets;
}

void CandidatePositions(const ImageBoxes& boxes, Size image, Size patch,
                        int num_threads, const std::vector<int64_t>& offsets,
                        Position* positions) {
  ParallelFor(boxes.num_images, kImagesPerBlock, num_threads,
              [&](int64_t begin, int64_t end) {
                PositionGrid grid(image, patch);
                for (int64_t i = begin; i < end; ++i) {
                  Position* next = positions + offsets[static_cast<size_t>(i)];
                  grid.ForEach(boxes, i, [&](int64_t row, int64_t column) {
                    *next++ = {static_cast<int32_t>(row), static_cast<int32_t>(column)};
                  });
                }
              });
}

}  // namespace tfsupermask
