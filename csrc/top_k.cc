#include "top_k.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "parallel.h"

namespace tfsupermask {
namespace {

constexpr uint32_t kAllButSign = 0x7FFFFFFF;
constexpr uint32_t kInfinityBits = 0x7F800000;
constexpr uint32_t kZeroKey = 0x80000000;
constexpr int kBinShift = 16;
constexpr int64_t kNumBins = int64_t{1} << (32 - kBinShift);
constexpr int64_t kSmallestBlock = int64_t{1} << 15;

// Integers in the order of the ranking; NaN gets 0, below all others.
template <Ranking ranking>
inline uint32_t Key(float score) {
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof bits);
  const uint32_t magnitude = bits & kAllButSign;
  const bool negative = ranking == Ranking::kScore && bits != magnitude;
  // Magnitudes use all 32 bits too, so that a bin holds as few of them as can be.
  const uint32_t key = ranking == Ranking::kMagnitude ? 2 * magnitude + 1
                       : negative                     ? kZeroKey - magnitude
                                                      : kZeroKey + magnitude;
  return magnitude > kInfinityBits ? 0 : key;
}

// What is kept: all keys above `key`, and those equal to it up to index `last_tie`.
struct Cut {
  uint32_t key;
  int64_t last_tie;
};

int64_t BlockSize(int64_t count, int num_threads) {
  const int64_t threads = num_threads == 0 ? HardwareThreads() : num_threads;
  return std::max(kSmallestBlock, (count + threads - 1) / threads);
}

// Finds the bin of the k-th highest key by counting, then the key itself in that bin.
template <Ranking ranking>
Cut FindCut(const float* scores, int64_t count, int64_t k, int num_threads) {
  const int64_t block_size = BlockSize(count, num_threads);
  const int64_t num_blocks = (count + block_size - 1) / block_size;

  std::vector<std::vector<uint32_t>> histograms(num_blocks);
  ParallelFor(count, block_size, num_threads, [&](int64_t begin, int64_t end) {
    std::vector<uint32_t>& histogram = histograms[begin / block_size];
    histogram.assign(kNumBins, 0);
    for (int64_t i = begin; i < end; ++i)
      ++histogram[Key<ranking>(scores[i]) >> kBinShift];
  });
  int64_t num_above = 0;
  uint32_t bin = kNumBins;
  for (int64_t num_in_bin = 0; num_above + num_in_bin < k;) {
    num_above += num_in_bin;
    --bin;
    num_in_bin = 0;
    for (const std::vector<uint32_t>& histogram : histograms)
      num_in_bin += histogram[bin];
  }

  std::vector<std::vector<std::pair<uint32_t, int64_t>>> found(num_blocks);
  ParallelFor(count, block_size, num_threads, [&](int64_t begin, int64_t end) {
    auto& in_block = found[begin / block_size];
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t key = Key<ranking>(scores[i]);
      if (key >> kBinShift == bin) in_block.emplace_back(key, i);
    }
  });
  std::vector<uint32_t> keys;
  for (const auto& in_block : found) {
    for (const auto& [key, index] : in_block) keys.push_back(key);
  }
  const int64_t rank = k - num_above;  // from 1, within the bin
  std::nth_element(keys.begin(), keys.begin() + (rank - 1), keys.end(),
                   std::greater<>());
  const uint32_t cut_key = keys[rank - 1];
  int64_t ties_left = rank - std::count_if(keys.begin(), keys.end(),
                                           [&](uint32_t key) { return key > cut_key; });
  for (const auto& in_block : found) {
    for (const auto& [key, index] : in_block) {
      if (key == cut_key && --ties_left == 0) return {cut_key, index};
    }
  }
  return {cut_key, count};  // Not reached: the cut's own key is in the bin.
}

template <Ranking ranking>
void Mask(const float* scores, const float* values, int64_t count, int64_t k,
          int num_threads, float* masked) {
  const Cut cut = FindCut<ranking>(scores, count, k, num_threads);
  const auto write = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t key = Key<ranking>(scores[i]);
      const float kept = key > cut.key || (key == cut.key && i <= cut.last_tie) ? 1 : 0;
      masked[i] = values == nullptr ? kept : values[i] * kept;
    }
  };
  ParallelFor(count, BlockSize(count, num_threads), num_threads, write);
}

}  // namespace

void MaskAllButTopK(const float* scores, const float* values, int64_t count, int64_t k,
                    Ranking ranking, int num_threads, float* masked) {
  const auto mask = ranking == Ranking::kMagnitude ? Mask<Ranking::kMagnitude>
                                                   : Mask<Ranking::kScore>;
  mask(scores, values, count, k, num_threads, masked);
}

void StraightThrough(const float* upstream, const float* kernel, const float* scores,
                     int64_t count, Ranking ranking, int num_threads, float* gradient) {
  const bool signs = ranking == Ranking::kMagnitude;
  const auto multiply = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float s = scores[i];
      // 0 stays 0 and NaN NaN.
      const float sign = s > 0 ? 1 : s < 0 ? -1 : s;
      gradient[i] = upstream[i] * kernel[i] * (signs ? sign : 1);
    }
  };
  ParallelFor(count, BlockSize(count, num_threads), num_threads, multiply);
}

}  // namespace tfsupermask
