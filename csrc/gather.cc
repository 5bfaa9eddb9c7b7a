#include "gather.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace tfsupermask {
namespace {

constexpr int64_t kBytesPerBlock = 1 << 18;  // so that a block fits in the L2 cache

void CheckRange(const char* name, int64_t patch, int64_t value, int64_t minimum,
                int64_t maximum) {
  if (value >= minimum && value <= maximum) return;
  throw std::invalid_argument("`" + std::string(name) + "` must lie in [" +
                              std::to_string(minimum) + ", " + std::to_string(maximum) +
                              "]. Received: " + name + "[" + std::to_string(patch) +
                              "]=" + std::to_string(value));
}

// The steps j in [begin, end) at which `start + j * dilation` lies in [0, size).
struct Inside {
  Inside(int64_t start, int64_t steps, int64_t dilation, int64_t size)
      : begin(0), end(steps) {
    // Divides only where it must: on patches of 3 x 3 bytes the divisions can be felt.
    if (start < 0) begin = std::min(steps, (-start + dilation - 1) / dilation);
    if (start + (steps - 1) * dilation >= size) {
      end = std::max(begin, std::min(steps, (size - 1 - start) / dilation + 1));
    }
  }

  int64_t begin;
  int64_t end;
};

void Zero(std::byte* out, int64_t bytes) {
  if (bytes > 0) std::memset(out, 0, static_cast<size_t>(bytes));
}

void Copy(std::byte* out, const std::byte* in, int64_t bytes) {
  std::memcpy(out, in, static_cast<size_t>(bytes));
}

void GatherPatch(const GatherRequest& request, int64_t patch, std::byte* out) {
  const int64_t pixel = request.pixel_bytes;
  const int64_t row_bytes = request.patch_width * pixel;
  const int64_t top = request.rows[patch];
  const int64_t left = request.columns[patch];
  const Inside rows(top, request.patch_height, request.row_dilation, request.height);
  const Inside columns(left, request.patch_width, request.column_dilation,
                       request.width);
  const std::byte* map = request.maps + request.image_index[patch] * request.height *
                                            request.width * pixel;

  Zero(out, rows.begin * row_bytes);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const int64_t row = top + i * request.row_dilation;
    const std::byte* in_row = map + row * request.width * pixel;
    std::byte* out_row = out + i * row_bytes;
    Zero(out_row, columns.begin * pixel);
    if (request.column_dilation == 1) {
      Copy(out_row + columns.begin * pixel, in_row + (left + columns.begin) * pixel,
           (columns.end - columns.begin) * pixel);
    } else {
      for (int64_t j = columns.begin; j < columns.end; ++j) {
        Copy(out_row + j * pixel, in_row + (left + j * request.column_dilation) * pixel,
             pixel);
      }
    }
    Zero(out_row + columns.end * pixel, (request.patch_width - columns.end) * pixel);
  }
  Zero(out + rows.end * row_bytes, (request.patch_height - rows.end) * row_bytes);
}

}  // namespace

void CheckPatches(const GatherRequest& request) {
  const int64_t first_row = -(request.patch_height - 1) * request.row_dilation;
  const int64_t first_column = -(request.patch_width - 1) * request.column_dilation;
  for (int64_t p = 0; p < request.num_patches; ++p) {
    CheckRange("image_index", p, request.image_index[p], 0, request.num_maps - 1);
    CheckRange("rows", p, request.rows[p], first_row, request.height - 1);
    CheckRange("columns", p, request.columns[p], first_column, request.width - 1);
  }
}

void GatherPatches(const GatherRequest& request, int num_threads, std::byte* patches) {
  const int64_t patch_bytes =
      request.patch_height * request.patch_width * request.pixel_bytes;
  const int64_t block = std::max<int64_t>(1, kBytesPerBlock / patch_bytes);
  ParallelFor(request.num_patches, block, num_threads, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      GatherPatch(request, p, patches + p * patch_bytes);
    }
  });
}

}  // namespace tfsupermask
