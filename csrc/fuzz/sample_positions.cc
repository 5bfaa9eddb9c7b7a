// Sampling: as many as there should be, inside their image's part, no position twice,
// and the same whatever the threads and wherever the images are cut in two.

#include <set>

#include "fuzz/input.h"
#include "sampling.h"

namespace {

struct Samples {
  std::vector<int64_t> indices;
  std::vector<int64_t> images;
};

Samples Draw(const tfsupermask::SampleRequest& request, int threads) {
  const auto count = static_cast<size_t>(tfsupermask::NumSamples(request));
  Samples samples{std::vector<int64_t>(count), std::vector<int64_t>(count)};
  tfsupermask::SamplePositions(request, threads, samples.indices.data(),
                               samples.images.data());
  return samples;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tfsupermask::fuzz::Check;
  tfsupermask::fuzz::Input input(data, size);
  const int threads = static_cast<int>(input.Within(1, 3));
  const std::vector<int64_t> offsets = input.Offsets(input.Within(0, 6), 70);
  const auto num_images = static_cast<int64_t>(offsets.size()) - 1;
  tfsupermask::SampleRequest request{offsets.data(), num_images, input.Within(1, 60),
                                     input.Take<uint64_t>(),
                                     input.Take<int64_t>() & (int64_t{1} << 40)};
  const Samples samples = Draw(request, threads);

  size_t place = 0;
  for (int64_t image = 0; image < num_images; ++image) {
    const int64_t available = offsets[image + 1] - offsets[image];
    const int64_t expected = std::min(available, request.samples_per_image);
    std::set<int64_t> drawn;
    for (int64_t i = 0; i < expected; ++i, ++place) {
      Check(place < samples.indices.size(), "too few samples");
      Check(samples.images[place] == image, "image of a sample");
      const int64_t index = samples.indices[place];
      Check(index >= offsets[image] && index < offsets[image + 1],
            "another's position");
      Check(drawn.insert(index).second, "a position twice");
    }
  }
  Check(place == samples.indices.size(), "too many samples");

  const int64_t cut = input.Within(0, num_images);
  std::vector<int64_t> later;
  for (int64_t i = cut; i <= num_images; ++i)
    later.push_back(offsets[i] - offsets[cut]);
  request.position_offsets = later.data();
  request.num_images = num_images - cut;
  request.first_image += cut;
  const std::vector<int64_t> rest = Draw(request, 1).indices;
  Check(rest.size() <= samples.indices.size(), "samples of the later images");
  const size_t skipped = samples.indices.size() - rest.size();
  for (size_t i = 0; i < rest.size(); ++i) {
    Check(rest[i] + offsets[cut] == samples.indices[skipped + i], "images in parts");
  }
  return 0;
}
