#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sonar {

/// 8-bit RGB, channels innermost.
struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height][width][3]
};

/// Why an image could not be decoded: damaged, cut short, or neither JPEG nor PNG. A value, not an exception: the
/// loader counts them.
struct DecodeError {
  std::string why;
};

/// Decodes a JPEG or PNG, told apart by content. Grey, palette, 16-bit and CMYK images become 8-bit RGB; transparent
/// pixels are laid over white. A JPEG much larger than `resolution` may be decoded at a reduced scale whose shorter
/// side is still at least `resolution` (0: always at full size). Returns false and fills `error` on damage.
bool decode_image(std::span<const uint8_t> bytes, int resolution, Image& image, DecodeError& error);

/// The largest centred square of `image`, resized to resolution x resolution; written to `out`
/// [resolution][resolution][3].
void resize_to_square(const Image& image, int resolution, uint8_t* out);

}  // namespace sonar
