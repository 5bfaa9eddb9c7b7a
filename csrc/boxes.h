#ifndef TFSUPERMASK_CSRC_BOXES_H_
#define TFSUPERMASK_CSRC_BOXES_H_

#include <cstdint>
#include <vector>

namespace tfsupermask {

// Sizes in pixels.
struct Size {
  int32_t height;
  int32_t width;
};

// A rectangle of pixels; laid out as a row (top, left, height, width) of an int32
// array.
struct Box {
  int32_t top;
  int32_t left;
  int32_t height;
  int32_t width;
};

// The pixel at a patch's top left; laid out as a row (row, column) of an int32 array.
struct Position {
  int32_t row;
  int32_t column;
};

static_assert(sizeof(Box) == 4 * sizeof(int32_t));
static_assert(sizeof(Position) == 2 * sizeof(int32_t));

// Boxes of many images; image i has those from offsets[i] to offsets[i + 1]. Points to
// the caller's arrays.
struct ImageBoxes {
  const Box* boxes;
  const int64_t* offsets;  // num_images + 1 of them
  int64_t num_images;
};

// Which boxes are of use: those that, clipped to the image, are not empty, cover at
// most `max_area_fraction` of it, are at least `smallest` on each side, and repeat no
// box of the same image before them.
struct BoxFilter {
  Size image;
  double max_area_fraction;
  Size smallest;
};

// Boxes of many images, one image after another, that own their memory.
struct BoxList {
  std::vector<Box> boxes;
  std::vector<int64_t> offsets;  // num_images + 1 of them
};

// Returns the boxes of use, clipped, in their order.
BoxList FilterBoxes(const ImageBoxes& boxes, const BoxFilter& filter, int num_threads);

// Throws std::invalid_argument unless every box has an area and lies inside the image.
void CheckInside(const ImageBoxes& boxes, Size image);

// The candidate positions of an image are those at which a patch lies inside at least
// one of its boxes, or, if there is none, all at which it lies inside the image. The
// boxes lie inside the image, and the patch is no larger than the image.
//
// Returns the offsets of each image's positions in the list of all; num_images + 1.
std::vector<int64_t> CandidateOffsets(const ImageBoxes& boxes, Size image, Size patch,
                                      int num_threads);

// Writes the positions themselves, row by row of each image. `positions` has room for
// offsets[num_images].
void CandidatePositions(const ImageBoxes& boxes, Size image, Size patch,
                        int num_threads, const std::vector<int64_t>& offsets,
                        Position* positions);

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_BOXES_H_
