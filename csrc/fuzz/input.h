#ifndef TFSUPERMASK_CSRC_FUZZ_INPUT_H_
#define TFSUPERMASK_CSRC_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace tfsupermask::fuzz {

// Takes arguments from a fuzzer's bytes; zeros once they are used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  template <typename T>
  T Take() {
    T value{};
    const size_t taken = std::min(sizeof(T), size_);
    if (taken > 0) std::memcpy(&value, data_, taken);
    data_ += taken;
    size_ -= taken;
    return value;
  }

  // An integer in [minimum, maximum].
  int64_t Within(int64_t minimum, int64_t maximum) {
    const auto choices = static_cast<uint64_t>(maximum - minimum) + 1;
    return minimum + static_cast<int64_t>(Take<uint16_t>() % choices);
  }

  template <typename T>
  std::vector<T> Many(int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    for (T& value : values) value = Take<T>();
    return values;
  }

  // Offsets of `parts` consecutive parts of at most `largest` each, from 0.
  std::vector<int64_t> Offsets(int64_t parts, int64_t largest) {
    std::vector<int64_t> offsets{0};
    for (int64_t i = 0; i < parts; ++i) {
      offsets.push_back(offsets.back() + Within(0, largest));
    }
    return offsets;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// Ends the process, as a sanitizer does, if the result is wrong.
inline void Check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "wrong result: %s\n", what);
  std::abort();
}

}  // namespace tfsupermask::fuzz

#endif  // TFSUPERMASK_CSRC_FUZZ_INPUT_H_
