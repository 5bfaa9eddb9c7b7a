#ifndef TFSUPERMASK_CSRC_RANDOM_H_
#define TFSUPERMASK_CSRC_RANDOM_H_

#include <cstdint>

namespace tfsupermask {

// A stream of random numbers named by (seed, stream). Unlike those of <random>, its
// numbers are the same with every compiler and standard library.
//
// The generator is xoshiro256** (Blackman and Vigna, 2018), its state filled by
// SplitMix64. The key is a bijection of `stream` for a given seed, so that two streams
// of one seed never coincide.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream) {
    uint64_t key = Mix(Mix(seed + kGolden) ^ stream);
    for (uint64_t& word : state_) word = Mix(key += kGolden);
  }

  uint64_t Next() {
    const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = RotateLeft(state_[3], 45);
    return result;
  }

  // A uniform integer in [0, bound), for a bound of at least 1. The lowest 2^64 mod
  // bound values are rejected, so that those left divide evenly among the results.
  uint64_t Below(uint64_t bound) {
    const uint64_t rejected = (0 - bound) % bound;
    uint64_t value = Next();
    while (value < rejected) value = Next();
    return value % bound;
  }

 private:
  static constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

  static uint64_t RotateLeft(uint64_t value, int bits) {
    return (value << bits) | (value >> (64 - bits));
  }

  // The finaliser of SplitMix64, a bijection.
  static uint64_t Mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

  uint64_t state_[4];
};

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_RANDOM_H_
