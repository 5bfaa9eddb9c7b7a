// k-means++: points become seeds, the first as given, the same whatever the threads.

#include "fuzz/input.h"
#include "kmeans.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tfsupermask::fuzz::Check;
  tfsupermask::fuzz::Input input(data, size);
  const int threads = static_cast<int>(input.Within(1, 3));
  const int64_t length = input.Within(1, 6);
  const int64_t num_points = input.Within(1, 600);
  const int64_t num_seeds = input.Within(1, std::min<int64_t>(num_points, 12));
  const int64_t num_trials = input.Within(1, 9);
  std::vector<double> numbers;
  for (int64_t i = 0; i < (num_seeds - 1) * num_trials; ++i) {
    numbers.push_back(static_cast<double>(input.Take<uint16_t>()) / 65536);
  }
  const int64_t first = input.Within(0, num_points - 1);
  std::vector<float> points;
  for (int64_t i = 0; i < num_points * length; ++i) {
    points.push_back(input.Take<int8_t>());
  }
  const tfsupermask::Matrix matrix{points.data(), num_points, length};
  const tfsupermask::Draws draws{numbers.data(), num_seeds, num_trials};
  std::vector<int64_t> seeds(static_cast<size_t>(num_seeds), -1), alone = seeds;
  tfsupermask::SeedCentroids(matrix, first, draws, threads, seeds.data());
  tfsupermask::SeedCentroids(matrix, first, draws, 1, alone.data());
  Check(seeds == alone, "threads change the seeds");
  Check(seeds[0] == first, "first seed");
  for (const int64_t seed : seeds) {
    Check(seed >= 0 && seed < num_points, "no such point");
  }
  return 0;
}
