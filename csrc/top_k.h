#ifndef TFSUPERMASK_CSRC_TOP_K_H_
#define TFSUPERMASK_CSRC_TOP_K_H_

#include <cstdint>

namespace tfsupermask {

// What scores are ranked by. NaN ranks below every number, 0 and -0 alike.
enum class Ranking { kMagnitude, kScore };

// Writes to `masked` the `count` values times 1 where the score is one of the `k`
// highest ranked and times 0 elsewhere; among equal scores the first ones win. k is in
// [1, count]. On up to `num_threads` threads (0: one per core).
void MaskAllButTopK(const float* scores, const float* values, int64_t count, int64_t k,
                    Ranking ranking, int num_threads, float* masked);

// Writes to `gradient` upstream * kernel, times sign(score) when ranking by magnitude.
void StraightThrough(const float* upstream, const float* kernel, const float* scores,
                     int64_t count, Ranking ranking, int num_threads, float* gradient);

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_TOP_K_H_
