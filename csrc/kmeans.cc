#include "kmeans.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "lanes.h"
#include "parallel.h"

namespace tfsupermask {
namespace {

constexpr int64_t kTile = 16;  // points side by side
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kRows = 4;  // measured against a tile of points at a time
constexpr int64_t kPointsPerGroup = 16 * kTile;
constexpr int64_t kCentroidsPerChunk = 256;   // so that a chunk fits in the L1 cache
constexpr int64_t kMostPointsPerBlock = 512;  // likewise in the L2 cache

// Differences to square: about 0.1 and 0.01 ms.
constexpr int64_t kWorthAThread = int64_t{1} << 22;
constexpr int64_t kWorthWaking = int64_t{1} << 19;

int64_t RoundUp(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}

// The least number of points, a multiple of `unit`, that makes so much work.
int64_t PointsPerBlock(int64_t work, int64_t unit, int64_t num_rows, int64_t length) {
  const int64_t work_of_unit = unit * num_rows * std::max<int64_t>(1, length);
  return unit * (1 + work / work_of_unit);
}

// Rows in tiles of kTile, value d of all of a tile's rows side by side. The rows that
// the last tile lacks are zero.
std::vector<float> Tiles(const Matrix& rows, int64_t begin, int64_t end) {
  std::vector<float> tiles(RoundUp(end - begin, kTile) * rows.length);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t lane = (i - begin) % kTile;
    float* const tile = tiles.data() + (i - begin - lane) * rows.length;
    for (int64_t d = 0; d < rows.length; ++d) tile[d * kTile + lane] = rows.row(i)[d];
  }
  return tiles;
}

// The squared distances of a tile's points from each of `count` rows.
template <int64_t count, typename L>
struct SquaredDistances {
  static constexpr int64_t kParts = kTile / L::kWidth;

  TFSUPERMASK_INLINE SquaredDistances(const float* tile, const float* rows,
                                      int64_t length) {
    for (int64_t d = 0; d < length; ++d) {
#pragma GCC unroll 4
      for (int64_t part = 0; part < kParts; ++part) {
        const auto values = L::Load(tile + d * kTile + part * L::kWidth);
#pragma GCC unroll 4
        for (int64_t r = 0; r < count; ++r) {
          const auto difference = values - rows[r * length + d];
          value[r][part] += difference * difference;
        }
      }
    }
  }

  typename L::Floats value[count][kParts] = {};
};

// The nearest centroid found so far for each point of a tile.
struct Nearest {
  Nearest() { std::fill_n(squared, kTile, kInfinity); }

  float squared[kTile];
  int32_t index[kTile] = {};
};

template <int64_t count, typename L>
TFSUPERMASK_INLINE inline void Compare(const float* tile, const Matrix& centroids,
                                       int64_t first, L, Nearest& nearest) {
  const SquaredDistances<count, L> squared(tile, centroids.row(first),
                                           centroids.length);
#pragma GCC unroll 4
  for (int64_t part = 0; part < squared.kParts; ++part) {
    auto least = L::Load(nearest.squared + part * L::kWidth);
    auto index = L::Load(nearest.index + part * L::kWidth);
#pragma GCC unroll 4
    for (int64_t r = 0; r < count; ++r) {
      const auto value = squared.value[r][part];
      const auto nearer = value < least;
      least = nearer ? value : least;
      index = nearer ? typename L::Integers{} + static_cast<int32_t>(first + r) : index;
    }
    L::Store(least, nearest.squared + part * L::kWidth);
    L::Store(index, nearest.index + part * L::kWidth);
  }
}

void FindNearest(const std::vector<float>& tiles, const Matrix& centroids,
                 std::vector<Nearest>& nearest) {
  const int64_t num_tiles = nearest.size();
  Vectorised([&](auto lanes) TFSUPERMASK_INLINE {
    for (int64_t chunk = 0; chunk < centroids.num_rows; chunk += kCentroidsPerChunk) {
      const int64_t end = std::min(chunk + kCentroidsPerChunk, centroids.num_rows);
      for (int64_t t = 0; t < num_tiles; ++t) {
        const float* const tile = tiles.data() + t * kTile * centroids.length;
        int64_t c = chunk;
        for (; c + kRows <= end; c += kRows) {
          Compare<kRows>(tile, centroids, c, lanes, nearest[t]);
        }
        for (; c < end; ++c) Compare<1>(tile, centroids, c, lanes, nearest[t]);
      }
    }
  });
}

// k-means++, one seed after another.
class Seeding {
 public:
  Seeding(const Matrix& points, int64_t num_trials, int num_threads)
      : points_(points),
        num_trials_(num_trials),
        num_rows_(RoundUp(num_trials, kRows)),
        padded_(RoundUp(points.num_rows, kTile)),
        block_(PointsPerBlock(kWorthWaking, kPointsPerGroup, num_rows_, points.length)),
        tiles_(Tiles(points, 0, points.num_rows)),
        closest_(padded_, kInfinity),
        trials_(num_rows_, std::vector<float>(padded_)),
        cumulated_((padded_ + kPointsPerGroup - 1) / kPointsPerGroup),
        sums_(cumulated_.size() * num_rows_),
        team_(std::min<int64_t>(num_threads, NumBlocks())) {
    // The points that the last tile lacks add nothing to a sum.
    std::fill(closest_.begin() + points.num_rows, closest_.end(), 0.0f);
  }

  // Makes one of the candidates a seed, the one that leaves the least sum.
  int64_t Add(const std::vector<int64_t>& candidates) {
    Measure(candidates);
    const int64_t num_groups = cumulated_.size();
    std::vector<double> totals(num_trials_);
    for (int64_t g = 0; g < num_groups; ++g) {
      for (int64_t t = 0; t < num_trials_; ++t) totals[t] += sums_[g * num_rows_ + t];
    }
    const int64_t best =
        std::min_element(totals.begin(), totals.end()) - totals.begin();
    double sum = 0;
    for (int64_t g = 0; g < num_groups; ++g) {
      cumulated_[g] = sum += sums_[g * num_rows_ + best];
    }
    std::swap(closest_, trials_[best]);
    return candidates[best];
  }

  // The first point up to which the squared distances from the seeds sum to `fraction`
  // of the whole.
  int64_t Draw(double fraction) const {
    const double wanted = fraction * cumulated_.back();
    const int64_t group =
        std::lower_bound(cumulated_.begin(), cumulated_.end() - 1, wanted) -
        cumulated_.begin();
    const int64_t begin = group * kPointsPerGroup;
    const int64_t end = std::min(begin + kPointsPerGroup, points_.num_rows);
    double sum = group == 0 ? 0 : cumulated_[group - 1];
    for (int64_t p = begin; p < end; ++p) {
      sum += closest_[p];
      if (sum >= wanted) return p;
    }
    return end - 1;  // The sum of the group had been rounded up.
  }

 private:
  int64_t NumBlocks() const { return (padded_ + block_ - 1) / block_; }

  // Finds how far from the nearest seed points would be with each of the candidates.
  void Measure(const std::vector<int64_t>& candidates) {
    const int64_t length = points_.length;
    std::vector<float> rows(num_rows_ * length);
    for (int64_t t = 0; t < num_trials_; ++t) {
      std::copy_n(points_.row(candidates[t]), length, rows.begin() + t * length);
    }
    team_.Run(NumBlocks(), [&](int64_t block) {
      const int64_t begin = block * block_;
      const int64_t end = std::min(begin + block_, padded_);
      Vectorised([&](auto lanes) TFSUPERMASK_INLINE {
        for (int64_t group = begin; group < end; group += kPointsPerGroup) {
          for (int64_t t = 0; t < num_rows_; t += kRows) {
            MeasureGroup(group, std::min(group + kPointsPerGroup, end), t,
                         rows.data() + t * length, lanes);
          }
        }
      });
    });
  }

  // Does so for the points of a group and kRows candidates, the first being `trial`.
  template <typename L>
  TFSUPERMASK_INLINE inline void MeasureGroup(int64_t begin, int64_t end, int64_t trial,
                                              const float* rows, L) {
    float sums[kRows][kTile] = {};
    for (int64_t p = begin; p < end; p += kTile) {
      const SquaredDistances<kRows, L> squared(tiles_.data() + p * points_.length, rows,
                                               points_.length);
#pragma GCC unroll 4
      for (int64_t part = 0; part < squared.kParts; ++part) {
        const int64_t lane = part * L::kWidth;
        const auto closest = L::Load(closest_.data() + p + lane);
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRows; ++r) {
          const auto value = squared.value[r][part];
          const auto least = value < closest ? value : closest;
          L::Store(least, trials_[trial + r].data() + p + lane);
          L::Store(L::Load(sums[r] + lane) + least, sums[r] + lane);
        }
      }
    }
    for (int64_t r = 0; r < kRows; ++r) {
      sums_[begin / kPointsPerGroup * num_rows_ + trial + r] =
          std::accumulate(sums[r], sums[r] + kTile, 0.0f);
    }
  }

  const Matrix points_;
  const int64_t num_trials_;
  const int64_t num_rows_;  // candidates, rounded up
  const int64_t padded_;    // points, rounded up
  const int64_t block_;     // points that a thread takes at a time
  const std::vector<float> tiles_;
  std::vector<float> closest_;              // squared distances from the nearest seed
  std::vector<std::vector<float>> trials_;  // the same, were a candidate a seed
  std::vector<double> cumulated_;           // sums of `closest_` up to each group's end
  std::vector<float> sums_;                 // sums of `trials_` in each group
  Team team_;
};

}  // namespace

void NearestCentroids(const Matrix& points, const Matrix& centroids, int num_threads,
                      int32_t* nearest, float* squared_distance) {
  const int64_t block =
      std::min(PointsPerBlock(kWorthAThread, kTile, centroids.num_rows, points.length),
               kMostPointsPerBlock);
  ParallelFor(points.num_rows, block, num_threads, [&](int64_t begin, int64_t end) {
    std::vector<Nearest> found(RoundUp(end - begin, kTile) / kTile);
    FindNearest(Tiles(points, begin, end), centroids, found);
    for (int64_t p = begin; p < end; ++p) {
      const Nearest& tile = found[(p - begin) / kTile];
      nearest[p] = tile.index[(p - begin) % kTile];
      squared_distance[p] = tile.squared[(p - begin) % kTile];
    }
  });
}

void SeedCentroids(const Matrix& points, int64_t first, const Draws& draws,
                   int num_threads, int64_t* seeds) {
  const int wanted = num_threads == 0 ? HardwareThreads() : num_threads;
  Seeding seeding(points, draws.num_trials, wanted);
  std::vector<int64_t> candidates(draws.num_trials, first);
  seeds[0] = seeding.Add(candidates);
  for (int64_t s = 1; s < draws.num_seeds; ++s) {
    for (int64_t t = 0; t < draws.num_trials; ++t) {
      candidates[t] = seeding.Draw(draws.data[(s - 1) * draws.num_trials + t]);
    }
    seeds[s] = seeding.Add(candidates);
  }
}

}  // namespace tfsupermask
