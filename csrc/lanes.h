#ifndef TFSUPERMASK_CSRC_LANES_H_
#define TFSUPERMASK_CSRC_LANES_H_

#include <cstdint>
#include <cstring>

#define TFSUPERMASK_INLINE __attribute__((always_inline))

namespace tfsupermask {

// Registers of `width` values. They are copied from and to where they lie, which need
// not be aligned: pointers to vectors of less alignment do not survive all compilers.
template <int64_t width>
struct Lanes {
  typedef float Floats __attribute__((vector_size(width * sizeof(float))));
  typedef int32_t Integers __attribute__((vector_size(width * sizeof(int32_t))));

  static constexpr int64_t kWidth = width;

  TFSUPERMASK_INLINE static Floats Load(const float* values) {
    Floats lanes;
    std::memcpy(&lanes, values, sizeof(lanes));
    return lanes;
  }
  TFSUPERMASK_INLINE static Integers Load(const int32_t* values) {
    Integers lanes;
    std::memcpy(&lanes, values, sizeof(lanes));
    return lanes;
  }
  TFSUPERMASK_INLINE static void Store(Floats lanes, float* values) {
    std::memcpy(values, &lanes, sizeof(lanes));
  }
  TFSUPERMASK_INLINE static void Store(Integers lanes, int32_t* values) {
    std::memcpy(values, &lanes, sizeof(lanes));
  }
};

#if defined(__x86_64__)
template <typename Work>
__attribute__((target("avx512f"))) void WithAvx512(const Work& work) {
  work(Lanes<16>{});
}

template <typename Work>
__attribute__((target("avx2,fma"))) void WithAvx2(const Work& work) {
  work(Lanes<8>{});
}
#endif

// Calls `work(Lanes<width>{})` compiled for the widest registers that the machine has,
// of up to 16 values. `work`, a lambda, and all that it calls on lanes must be marked
// TFSUPERMASK_INLINE.
template <typename Work>
void Vectorised(const Work& work) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return WithAvx512(work);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return WithAvx2(work);
  }
#endif
  work(Lanes<4>{});
}

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_LANES_H_
