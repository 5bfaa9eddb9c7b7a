// The nearest centroids against a look at every one of them.

#include <cmath>

#include "fuzz/input.h"
#include "kmeans.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tfsupermask::fuzz::Check;
  tfsupermask::fuzz::Input input(data, size);
  const int threads = static_cast<int>(input.Within(1, 3));
  const int64_t length = input.Within(0, 9);
  const int64_t num_points = input.Within(0, 40);
  const int64_t num_centroids = input.Within(1, 20);
  const bool wild = input.Take<uint8_t>() % 4 == 0;
  const auto values = [&](int64_t count) {
    if (wild) return input.Many<float>(count);  // of any bits
    std::vector<float> whole;  // so that sums have no rounding, and there are ties
    for (int64_t i = 0; i < count; ++i) whole.push_back(input.Take<int8_t>());
    return whole;
  };
  const std::vector<float> points = values(num_points * length);
  const std::vector<float> centroids = values(num_centroids * length);
  std::vector<int32_t> nearest(static_cast<size_t>(num_points), -1);
  std::vector<float> squared(static_cast<size_t>(num_points), -1.0f);
  tfsupermask::NearestCentroids({points.data(), num_points, length},
                                {centroids.data(), num_centroids, length}, threads,
                                nearest.data(), squared.data());
  for (int64_t p = 0; p < num_points; ++p) {
    Check(nearest[p] >= 0 && nearest[p] < num_centroids, "no such centroid");
    if (wild) continue;
    int64_t best = 0;
    float least = INFINITY;
    for (int64_t c = 0; c < num_centroids; ++c) {
      float sum = 0;
      for (int64_t d = 0; d < length; ++d) {
        const float difference = points[p * length + d] - centroids[c * length + d];
        sum += difference * difference;
      }
      if (sum < least) best = c;
      least = std::min(sum, least);
    }
    Check(nearest[p] == best && squared[p] == least, "another is nearer");
  }
  return 0;
}
