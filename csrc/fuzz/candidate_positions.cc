// Candidate positions against a look at every position and box.

#include <stdexcept>

#include "boxes.h"
#include "fuzz/input.h"

namespace {

using tfsupermask::Box;
using tfsupermask::Position;
using tfsupermask::Size;

std::vector<Position> Expected(const Box* begin, const Box* end, Size image,
                               Size patch) {
  std::vector<Position> found, every;
  for (int32_t row = 0; row + patch.height <= image.height; ++row) {
    for (int32_t column = 0; column + patch.width <= image.width; ++column) {
      every.push_back({row, column});
      if (std::any_of(begin, end, [&](const Box& box) {
            return row >= box.top && column >= box.left &&
                   row + patch.height <= box.top + box.height &&
                   column + patch.width <= box.left + box.width;
          })) {
        found.push_back({row, column});
      }
    }
  }
  return found.empty() ? every : found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tfsupermask::fuzz::Input input(data, size);
  const Size image{static_cast<int32_t>(input.Within(1, 12)),
                   static_cast<int32_t>(input.Within(1, 12))};
  const Size patch{static_cast<int32_t>(input.Within(1, image.height)),
                   static_cast<int32_t>(input.Within(1, image.width))};
  const int threads = static_cast<int>(input.Within(1, 3));
  const std::vector<int64_t> offsets = input.Offsets(input.Within(0, 4), 4);
  const bool wild = input.Take<uint8_t>() % 8 == 0;
  std::vector<Box> boxes;
  for (int64_t i = 0; i < offsets.back(); ++i) {
    Box box = input.Take<Box>();
    if (!wild) {
      box.top = static_cast<int32_t>(static_cast<uint32_t>(box.top) % image.height);
      box.left = static_cast<int32_t>(static_cast<uint32_t>(box.left) % image.width);
      box.height = 1 + static_cast<int32_t>(static_cast<uint32_t>(box.height) %
                                            (image.height - box.top));
      box.width = 1 + static_cast<int32_t>(static_cast<uint32_t>(box.width) %
                                           (image.width - box.left));
    }
    boxes.push_back(box);
  }
  const tfsupermask::ImageBoxes all{boxes.data(), offsets.data(),
                                    static_cast<int64_t>(offsets.size()) - 1};
  const bool inside = std::all_of(boxes.begin(), boxes.end(), [&](const Box& box) {
    return box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
           int64_t{box.top} + box.height <= image.height &&
           int64_t{box.left} + box.width <= image.width;
  });
  try {
    tfsupermask::CheckInside(all, image);
    tfsupermask::fuzz::Check(inside, "a box outside was let through");
  } catch (const std::invalid_argument&) {
    tfsupermask::fuzz::Check(!inside, "a box inside was refused");
    return 0;
  }

  const std::vector<int64_t> found =
      tfsupermask::CandidateOffsets(all, image, patch, threads);
  std::vector<Position> positions(static_cast<size_t>(found.back()));
  tfsupermask::CandidatePositions(all, image, patch, threads, found, positions.data());
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const std::vector<Position> expected = Expected(
        boxes.data() + offsets[i], boxes.data() + offsets[i + 1], image, patch);
    tfsupermask::fuzz::Check(
        std::equal(positions.begin() + found[i], positions.begin() + found[i + 1],
                   expected.begin(), expected.end(),
                   [](const Position& a, const Position& b) {
                     return a.row == b.row && a.column == b.column;
                   }),
        "positions");
  }
  return 0;
}
