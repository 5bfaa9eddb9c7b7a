#ifndef TFSUPERMASK_CSRC_LANES_H_
#define TFSUPERMASK_CSRC_LANES_H_

#include <cstdint>

#define TFSUPERMASK_INLINE __attribute__((always_inline))

namespace tfsupermask {

// Registers of `width` values, loaded from where they lie: no alignment is needed.
template <int64_t width>
struct Lanes {
  typedef float Floats
      __attribute__((vector_size(width * sizeof(float)), aligned(4), may_alias));
  typedef int32_t Integers
      __attribute__((vector_size(width * sizeof(int32_t)), aligned(4), may_alias));

  static constexpr int64_t kWidth = width;

  TFSUPERMASK_INLINE static Floats& At(float* values) {
    return *reinterpret_cast<Floats*>(values);
  }
  TFSUPERMASK_INLINE static const Floats& At(const float* values) {
    return *reinterpret_cast<const Floats*>(values);
  }
  TFSUPERMASK_INLINE static Integers& At(int32_t* values) {
    return *reinterpret_cast<Integers*>(values);
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
