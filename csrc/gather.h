#ifndef TFSUPERMASK_CSRC_GATHER_H_
#define TFSUPERMASK_CSRC_GATHER_H_

#include <cstddef>
#include <cstdint>

namespace tfsupermask {

// Where to cut patches from maps of shape (num_maps, height, width, channels). The
// pointers belong to the caller.
struct GatherRequest {
  const std::byte* maps;
  int64_t num_maps;
  int64_t height;
  int64_t width;
  int64_t pixel_bytes;  // of all channels of a pixel

  int64_t num_patches;
  const int64_t* image_index;  // num_patches of each
  const int32_t* rows;
  const int32_t* columns;
  int64_t patch_height;
  int64_t patch_width;
  int64_t row_dilation;
  int64_t column_dilation;
};

// Writes patch p's pixel (i, j) from map image_index[p] at (rows[p] + i * row_dilation,
// columns[p] + j * column_dilation), or zeros where that is outside the map. `patches`
// has room for num_patches * patch_height * patch_width * pixel_bytes and may be
// uninitialised.
//
// Throws std::invalid_argument unless every patch names a map and has its top left in
// [-(extent - 1), size - 1] on both axes, where extent = (patch size - 1) * dilation
// + 1; `patches` is of no use then.
void GatherPatches(const GatherRequest& request, int num_threads, std::byte* patches);

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_GATHER_H_
