#ifndef TFSUPERMASK_CSRC_SAMPLING_H_
#define TFSUPERMASK_CSRC_SAMPLING_H_

#include <cstdint>

namespace tfsupermask {

// A draw of `samples_per_image` positions, or all if there are fewer, from each image.
struct SampleRequest {
  const int64_t* position_offsets;  // num_images + 1, from 0 and never decreasing
  int64_t num_images;
  int64_t samples_per_image;  // at least 1
  uint64_t seed;
  int64_t first_image;  // the number of image 0 in the caller's whole data set
};

// How many positions are drawn in all.
int64_t NumSamples(const SampleRequest& request);

// Draws without replacement, uniformly over the subsets. Image i's draw depends on the
// seed, first_image + i, its number of positions and samples_per_image, nothing else.
//
// `indices` (into the list of all positions) and `image_index` (i, not first_image + i)
// have room for NumSamples(); the results are grouped by image, in order.
void SamplePositions(const SampleRequest& request, int num_threads, int64_t* indices,
                     int64_t* image_index);

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_SAMPLING_H_
