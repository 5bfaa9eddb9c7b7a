// Gathering against a copy byte by byte.

#include <stdexcept>

#include "fuzz/input.h"
#include "gather.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tfsupermask::fuzz::Input input(data, size);
  tfsupermask::GatherRequest request{};
  request.num_maps = input.Within(1, 3);
  request.height = input.Within(1, 9);
  request.width = input.Within(1, 9);
  request.pixel_bytes = input.Within(1, 20) * (input.Take<uint8_t>() % 2 ? 4 : 1);
  request.patch_height = input.Within(1, 5);
  request.patch_width = input.Within(1, 5);
  request.row_dilation = input.Within(1, 3);
  request.column_dilation = input.Within(1, 3);
  request.num_patches = input.Within(0, 9);
  const int threads = static_cast<int>(input.Within(1, 3));
  const bool wild = input.Take<uint8_t>() % 8 == 0;

  const int64_t above = (request.patch_height - 1) * request.row_dilation;
  const int64_t before = (request.patch_width - 1) * request.column_dilation;
  std::vector<int64_t> images;
  std::vector<int32_t> rows, columns;
  bool inside = true;
  for (int64_t p = 0; p < request.num_patches; ++p) {
    int64_t image = input.Within(0, request.num_maps - 1);
    auto row = static_cast<int32_t>(input.Within(-above, request.height - 1));
    auto column = static_cast<int32_t>(input.Within(-before, request.width - 1));
    if (wild) {
      image = input.Take<int64_t>();
      row = input.Take<int32_t>();
      column = input.Take<int32_t>();
    }
    inside = inside && image >= 0 && image < request.num_maps && row >= -above &&
             row < request.height && column >= -before && column < request.width;
    images.push_back(image);
    rows.push_back(row);
    columns.push_back(column);
  }
  const auto map_bytes =
      request.num_maps * request.height * request.width * request.pixel_bytes;
  std::vector<uint8_t> maps(static_cast<size_t>(map_bytes));
  for (size_t i = 0; i < maps.size(); ++i) maps[i] = static_cast<uint8_t>(1 + i % 251);
  request.maps = reinterpret_cast<const std::byte*>(maps.data());
  request.image_index = images.data();
  request.rows = rows.data();
  request.columns = columns.data();
  std::vector<uint8_t> patches(
      static_cast<size_t>(request.num_patches * request.patch_height *
                          request.patch_width * request.pixel_bytes));
  try {
    tfsupermask::GatherPatches(request, threads,
                               reinterpret_cast<std::byte*>(patches.data()));
    tfsupermask::fuzz::Check(inside, "a patch outside was let through");
  } catch (const std::invalid_argument&) {
    tfsupermask::fuzz::Check(!inside, "a patch inside was refused");
    return 0;
  }

  std::vector<uint8_t> expected;
  for (int64_t p = 0; p < request.num_patches; ++p) {
    for (int64_t i = 0; i < request.patch_height; ++i) {
      for (int64_t j = 0; j < request.patch_width; ++j) {
        const int64_t row = rows[p] + i * request.row_dilation;
        const int64_t column = columns[p] + j * request.column_dilation;
        const bool outside =
            row < 0 || row >= request.height || column < 0 || column >= request.width;
        const int64_t pixel =
            (images[p] * request.height + row) * request.width + column;
        for (int64_t byte = 0; byte < request.pixel_bytes; ++byte) {
          expected.push_back(outside ? 0 : maps[pixel * request.pixel_bytes + byte]);
        }
      }
    }
  }
  tfsupermask::fuzz::Check(patches == expected, "patches");
  return 0;
}
