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
// A bin is the highest bits of a key. More bins hold fewer keys each, but to clear them
// would be most of the work where there are few scores.
constexpr int64_t kFewScores = int64_t{1} << 15;
constexpr int kBinBits = 16, kBinBitsOfFew = 12;
constexpr int64_t kSmallestBlock = int64_t{1} << 17;  // worth a thread
constexpr int64_t kStrip = 64;

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

// What is kept: all keys above `key`, and of those equal to it the ones in `ties`.
struct Cut {
  uint32_t key;
  std::vector<int64_t> ties;
};

int64_t BlockSize(int64_t count, int num_threads) {
  const int64_t threads = num_threads == 0 ? HardwareThreads() : num_threads;
  return std::max(kSmallestBlock, (count + threads - 1) / threads);
}

struct Bin {
  uint32_t number;
  int64_t num_above;  // keys in higher bins
};

// Finds the bin of the k-th highest key by counting.
template <Ranking ranking, int bin_bits>
Bin FindBin(const float* scores, int64_t count, int64_t k, int num_threads) {
  const int64_t block_size = BlockSize(count, num_threads);
  std::vector<std::vector<uint32_t>> histograms((count + block_size - 1) / block_size);
  ParallelFor(count, block_size, num_threads, [&](int64_t begin, int64_t end) {
    std::vector<uint32_t>& histogram = histograms[begin / block_size];
    histogram.assign(1 << bin_bits, 0);
    for (int64_t i = begin; i < end; ++i) {
      ++histogram[Key<ranking>(scores[i]) >> (32 - bin_bits)];
    }
  });
  Bin bin{1 << bin_bits, 0};
  for (int64_t num_in_bin = 0; bin.num_above + num_in_bin < k;) {
    bin.num_above += num_in_bin;
    --bin.number;
    num_in_bin = 0;
    for (const auto& histogram : histograms) num_in_bin += histogram[bin.number];
  }
  return bin;
}

// Returns the keys of a bin with their indices, in order of the indices.
template <Ranking ranking, int bin_bits>
std::vector<std::pair<uint32_t, int64_t>> Collect(const float* scores, int64_t count,
                                                  uint32_t bin, int num_threads) {
  const int64_t block_size = BlockSize(count, num_threads);
  std::vector<std::vector<std::pair<uint32_t, int64_t>>> found(
      (count + block_size - 1) / block_size);
  ParallelFor(count, block_size, num_threads, [&](int64_t begin, int64_t end) {
    auto& in_block = found[begin / block_size];
    for (int64_t strip = begin; strip < end; strip += kStrip) {
      const int64_t strip_end = std::min(strip + kStrip, end);
      // Most strips have none, which is told without a branch an element.
      uint32_t any = 0;
      for (int64_t i = strip; i < strip_end; ++i) {
        any |= (Key<ranking>(scores[i]) >> (32 - bin_bits)) == bin;
      }
      for (int64_t i = strip; any && i < strip_end; ++i) {
        const uint32_t key = Key<ranking>(scores[i]);
        if (key >> (32 - bin_bits) == bin) in_block.emplace_back(key, i);
      }
    }
  });
  std::vector<std::pair<uint32_t, int64_t>> all;
  for (const auto& in_block : found) {
    all.insert(all.end(), in_block.begin(), in_block.end());
  }
  return all;
}

template <Ranking ranking, int bin_bits>
Cut FindCut(const float* scores, int64_t count, int64_t k, int num_threads) {
  const Bin bin = FindBin<ranking, bin_bits>(scores, count, k, num_threads);
  const auto candidates =
      Collect<ranking, bin_bits>(scores, count, bin.number, num_threads);
  std::vector<uint32_t> keys;
  keys.reserve(candidates.size());
  for (const auto& [key, index] : candidates) keys.push_back(key);

  const int64_t rank = k - bin.num_above;  // from 1, within the bin
  std::nth_element(keys.begin(), keys.begin() + (rank - 1), keys.end(),
                   std::greater<>());
  Cut cut{keys[rank - 1], {}};
  int64_t ties_left = rank - std::count_if(keys.begin(), keys.end(),
                                           [&](uint32_t key) { return key > cut.key; });
  for (const auto& [key, index] : candidates) {
    if (key == cut.key && ties_left-- > 0) cut.ties.push_back(index);
  }
  return cut;
}

// A function of its own: within the code of threads a compiler made a branch of it,
// four times as slow, since kept or removed is a coin's throw.
template <Ranking ranking>
__attribute__((noinline)) void KeepAbove(uint32_t key, const float* scores,
                                         const float* values, int64_t count,
                                         float* masked) {
  for (int64_t i = 0; i < count; ++i) {
    const float kept = Key<ranking>(scores[i]) > key;
    masked[i] = values[i] * kept;
  }
}

template <Ranking ranking>
void Mask(const float* scores, const float* values, int64_t count, int64_t k,
          int num_threads, float* masked) {
  const auto find =
      count < kFewScores ? FindCut<ranking, kBinBitsOfFew> : FindCut<ranking, kBinBits>;
  const Cut cut = find(scores, count, k, num_threads);
  const auto keep = [&](int64_t begin, int64_t end) {
    KeepAbove<ranking>(cut.key, scores + begin, values + begin, end - begin,
                       masked + begin);
  };
  ParallelFor(count, BlockSize(count, num_threads), num_threads, keep);
  for (const int64_t i : cut.ties) masked[i] = values[i];
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
