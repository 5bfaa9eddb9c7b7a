#include "gather.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace tfsupermask {
namespace {

constexpr int64_t kBytesPerBlock = 1 << 19;  // so that a block fits in the L2 cache

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

// One patch that lies partly outside its map, or has gaps between its pixels.
void GatherPiecewise(const GatherRequest& request, const std::byte* map, int64_t top,
                     int64_t left, std::byte* out) {
  const int64_t pixel = request.pixel_bytes;
  const int64_t row_bytes = request.patch_width * pixel;
  const Inside rows(top, request.patch_height, request.row_dilation, request.height);
  const Inside columns(left, request.patch_width, request.column_dilation,
                       request.width);
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

// The patches from `begin` to `end`. A width known to the compiler (0: any other) turns
// a row of few bytes into a load and a store or two, where a call would cost more.
template <int64_t kRowBytes>
void GatherRange(const GatherRequest& request, int64_t begin, int64_t end,
                 std::byte* out) {
  const int64_t row_bytes =
      kRowBytes > 0 ? kRowBytes : request.patch_width * request.pixel_bytes;
  const int64_t map_row = request.width * request.pixel_bytes;
  const int64_t step = request.row_dilation * map_row;
  const int64_t last_top =
      request.height - 1 - (request.patch_height - 1) * request.row_dilation;
  const int64_t last_left = request.width - request.patch_width;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t top = request.rows[p];
    const int64_t left = request.columns[p];
    const std::byte* map =
        request.maps + request.image_index[p] * request.height * map_row;
    if (request.column_dilation == 1 && top >= 0 && left >= 0 && top <= last_top &&
        left <= last_left) {
      const std::byte* in = map + top * map_row + left * request.pixel_bytes;
      for (int64_t i = 0; i < request.patch_height; ++i, out += row_bytes) {
        Copy(out, in + i * step, row_bytes);
      }
    } else {
      GatherPiecewise(request, map, top, left, out);
      out += request.patch_height * row_bytes;
    }
  }
}

// What top lefts may be, so that a patch touches its map.
struct Range {
  explicit Range(const GatherRequest& request)
      : first_row(-(request.patch_height - 1) * request.row_dilation),
        first_column(-(request.patch_width - 1) * request.column_dilation) {}

  int64_t first_row;
  int64_t first_column;
};

bool AllInRange(const GatherRequest& request, int64_t begin, int64_t end) {
  const Range range(request);
  // Without an early end, so that the compiler checks several at a time.
  bool good = true;
  for (int64_t p = begin; p < end; ++p) {
    good &= request.image_index[p] >= 0 && request.image_index[p] < request.num_maps;
    good &= request.rows[p] >= range.first_row && request.rows[p] < request.height;
    good &=
        request.columns[p] >= range.first_column && request.columns[p] < request.width;
  }
  return good;
}

[[noreturn]] void ThrowFirstOutOfRange(const GatherRequest& request) {
  const Range range(request);
  for (int64_t p = 0;; ++p) {
    CheckRange("image_index", p, request.image_index[p], 0, request.num_maps - 1);
    CheckRange("rows", p, request.rows[p], range.first_row, request.height - 1);
    CheckRange("columns", p, request.columns[p], range.first_column, request.width - 1);
  }
}

}  // namespace

void GatherPatches(const GatherRequest& request, int num_threads, std::byte* patches) {
  const int64_t row_bytes = request.patch_width * request.pixel_bytes;
  const int64_t patch_bytes = request.patch_height * row_bytes;
  // Three pixels of RGB, as bytes and as floats: the patches that there are most of.
  const auto gather = row_bytes == 9    ? &GatherRange<9>
                      : row_bytes == 36 ? &GatherRange<36>
                                        : &GatherRange<0>;
  const int64_t block = std::max<int64_t>(1, kBytesPerBlock / patch_bytes);
  std::atomic<bool> good{true};
  ParallelFor(request.num_patches, block, num_threads, [&](int64_t begin, int64_t end) {
    if (AllInRange(request, begin, end)) {
      gather(request, begin, end, patches + begin * patch_bytes);
    } else {
      good = false;
    }
  });
  if (!good) ThrowFirstOutOfRange(request);
}

}  // namespace tfsupermask
