// Box filtering against its definition.

#include "boxes.h"
#include "fuzz/input.h"

namespace {

using tfsupermask::Box;

bool Same(const Box& a, const Box& b) { return std::memcmp(&a, &b, sizeof(Box)) == 0; }

// The part of [start, start + length) inside [0, size), as start and length.
void Clip(int32_t size, int32_t* start, int32_t* length) {
  const int64_t end = int64_t{*start} + *length;
  const int64_t first = std::clamp<int64_t>(*start, 0, size);
  *length = static_cast<int32_t>(
      std::max<int64_t>(0, std::clamp<int64_t>(end, 0, size) - first));
  *start = static_cast<int32_t>(first);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tfsupermask::fuzz::Input input(data, size);
  const tfsupermask::Size image{static_cast<int32_t>(input.Within(1, 40)),
                                static_cast<int32_t>(input.Within(1, 40))};
  const tfsupermask::Size smallest{static_cast<int32_t>(input.Within(1, 5)),
                                   static_cast<int32_t>(input.Within(1, 5))};
  const double fraction = static_cast<double>(input.Within(1, 64)) / 64;
  const bool wild = input.Take<uint8_t>() % 2 != 0;
  const int threads = static_cast<int>(input.Within(1, 3));
  const std::vector<int64_t> offsets = input.Offsets(input.Within(0, 4), 6);
  std::vector<Box> boxes;
  for (int64_t i = 0; i < offsets.back(); ++i) {
    Box box = input.Take<Box>();
    if (!wild) {  // near the image, where most of the decisions fall
      for (int32_t* value : {&box.top, &box.left, &box.height, &box.width}) {
        *value = *value % 50 - 4;
      }
    }
    boxes.push_back(box);
  }

  const auto num_images = static_cast<int64_t>(offsets.size()) - 1;
  const tfsupermask::BoxList kept = tfsupermask::FilterBoxes(
      {boxes.data(), offsets.data(), num_images}, {image, fraction, smallest}, threads);
  for (int64_t i = 0; i < num_images; ++i) {
    std::vector<Box> expected;
    for (int64_t b = offsets[i]; b < offsets[i + 1]; ++b) {
      Box box = boxes[b];
      Clip(image.height, &box.top, &box.height);
      Clip(image.width, &box.left, &box.width);
      const double area = static_cast<double>(box.height) * box.width;
      const bool seen = std::any_of(expected.begin(), expected.end(),
                                    [&](const Box& other) { return Same(box, other); });
      if (area > 0 && area <= fraction * image.height * image.width &&
          box.height >= smallest.height && box.width >= smallest.width && !seen) {
        expected.push_back(box);
      }
    }
    const auto begin = kept.boxes.begin();
    tfsupermask::fuzz::Check(
        std::equal(begin + kept.offsets[i], begin + kept.offsets[i + 1],
                   expected.begin(), expected.end(), Same),
        "boxes kept");
  }
  return 0;
}
