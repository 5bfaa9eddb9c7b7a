#include "sampling.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "parallel.h"
#include "random.h"

namespace tfsupermask {
namespace {

constexpr int64_t kImagesPerBlock = 256;

// Where image i's draw begins among the results; num_images + 1 of them. They cannot
// overflow, as no image yields more than the positions it has.
std::vector<int64_t> ResultOffsets(const SampleRequest& request) {
  std::vector<int64_t> offsets(static_cast<size_t>(request.num_images) + 1, 0);
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t count = request.position_offsets[i + 1] - request.position_offsets[i];
    offsets[i + 1] = offsets[i] + std::min(count, request.samples_per_image);
  }
  return offsets;
}

// Draws subsets of 0, 1, ..., count - 1 by the first steps of a Fisher-Yates shuffle.
class Shuffler {
 public:
  // Calls `take(step, value)` for each of the `num` values drawn. The swaps are undone
  // afterwards, so that a draw costs its own length and not `count`.
  template <typename Take>
  void Draw(Random random, int64_t count, int64_t num, const Take& take) {
    for (int64_t i = static_cast<int64_t>(deck_.size()); i < count; ++i) {
      deck_.push_back(i);
    }
    swapped_.clear();
    for (int64_t step = 0; step < num; ++step) {
      const auto other = step + static_cast<int64_t>(
                                    random.Below(static_cast<uint64_t>(count - step)));
      std::swap(At(step), At(other));
      swapped_.push_back(other);
      take(step, At(step));
    }
    for (int64_t step = num - 1; step >= 0; --step) {
      std::swap(At(step), At(swapped_[static_cast<size_t>(step)]));
    }
  }

 private:
  int64_t& At(int64_t i) { return deck_[static_cast<size_t>(i)]; }

  std::vector<int64_t> deck_;  // deck_[i] == i between draws
  std::vector<int64_t> swapped_;
};

}  // namespace

int64_t NumSamples(const SampleRequest& request) {
  return ResultOffsets(request).back();
}

void SamplePositions(const SampleRequest& request, int num_threads, int64_t* indices,
                     int64_t* image_index) {
  const std::vector<int64_t> results = ResultOffsets(request);
  ParallelFor(request.num_images, kImagesPerBlock, num_threads,
              [&](int64_t begin, int64_t end) {
                Shuffler shuffler;
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t first = request.position_offsets[i];
                  const int64_t count = request.position_offsets[i + 1] - first;
                  const int64_t result = results[static_cast<size_t>(i)];
                  const int64_t num = results[static_cast<size_t>(i) + 1] - result;
                  const Random random(request.seed,
                                      static_cast<uint64_t>(request.first_image) +
                                          static_cast<uint64_t>(i));
                  shuffler.Draw(random, count, num, [&](int64_t step, int64_t value) {
                    indices[result + step] = first + value;
                    image_index[result + step] = i;
                  });
                }
              });
}

}  // namespace tfsupermask
