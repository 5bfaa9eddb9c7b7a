#ifndef TFSUPERMASK_CSRC_KMEANS_H_
#define TFSUPERMASK_CSRC_KMEANS_H_

#include <cstdint>

namespace tfsupermask {

// Rows of `length` values. The pointer belongs to the caller.
struct Matrix {
  const float* data;
  int64_t num_rows;
  int64_t length;

  const float* row(int64_t i) const { return data + i * length; }
};

// Writes for each point the centroid nearest it, the first of equally near ones, and
// the squared Euclidean distance. There is at least one centroid and both have the same
// length. A point without a finite distance gets centroid 0 and infinity. On up to
// `num_threads` threads (0: one per core), which change no bit of the result.
void NearestCentroids(const Matrix& points, const Matrix& centroids, int num_threads,
                      int32_t* nearest, float* squared_distance);

// The random numbers of k-means++, in [0, 1): `num_trials` for each seed but the first.
struct Draws {
  const double* data;
  int64_t num_seeds;
  int64_t num_trials;
};

// Greedy k-means++ (Arthur and Vassilvitskii, 2007). Writes the points that become
// seeds: `first` and then, one by one, the best of `num_trials` points drawn with odds
// proportional to the squared distance from the nearest seed so far, where the best
// leaves the least sum of such distances. On up to `num_threads` threads (0: one per
// core), which change no bit of the result.
void SeedCentroids(const Matrix& points, int64_t first, const Draws& draws,
                   int num_threads, int64_t* seeds);

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_KMEANS_H_
