#include "train/image_decode.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "train/resample.h"

namespace sonar {
namespace {

constexpr long kMaxPixels = 100'000'000;  // of one image: more is a decompression bomb or no training image

struct TurboCloser {
  void operator()(void* handle) const { tjDestroy(handle); }
};

/// One decompressor a thread, kept: making one costs as much as decoding a thumbnail.
thread_local std::unique_ptr<void, TurboCloser> decompressor;

bool fail(DecodeError& error, const std::string& why) {
  error.why = why;
  return false;
}

/// A decompressor that met damage keeps some of it in its state, and would refuse the next, whole image.
bool fail_jpeg(DecodeError& error) {
  error.why = tjGetErrorStr2(decompressor.get());
  decompressor.reset();
  return false;
}

/// libjpeg goes on after damage and says so in a warning. Data that end early count as damage here; other warnings
/// (stray bytes between markers, common in photographs from the web) leave the picture whole.
bool cut_short(tjhandle handle) {
  std::string text = tjGetErrorStr2(handle);
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text.find("premature") != std::string::npos;
}

tjscalingfactor smallest_scale(int width, int height, int resolution) {
  tjscalingfactor best{1, 1};
  if (resolution <= 0) return best;
  int count = 0;
  const tjscalingfactor* factors = tjGetScalingFactors(&count);
  for (int i = 0; i < count; ++i) {
    const tjscalingfactor factor = factors[i];
    if (factor.num * best.denom < best.num * factor.denom &&
        std::min(TJSCALED(width, factor), TJSCALED(height, factor)) >= resolution) {
      best = factor;
    }
  }
  return best;
}

bool decode_jpeg(std::span<const uint8_t> bytes, int resolution, Image& image, DecodeError& error) {
  if (!decompressor) decompressor.reset(tjInitDecompress());
  tjhandle handle = decompressor.get();
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(handle, bytes.data(), bytes.size(), &width, &height, &subsampling, &colours) != 0) {
    return fail_jpeg(error);
  }
  if (long(width) * height > kMaxPixels) return fail(error, "more than 100 million pixels");
  const tjscalingfactor scale = smallest_scale(width, height, resolution);
  image.width = TJSCALED(width, scale);
  image.height = TJSCALED(height, scale);
  const bool cmyk = colours == TJCS_CMYK || colours == TJCS_YCCK;
  const int channels = cmyk ? 4 : 3;
  image.rgb.resize(size_t(image.width) * image.height * channels);
  if (tjDecompress2(handle, bytes.data(), bytes.size(), image.rgb.data(), image.width, 0, image.height,
                    cmyk ? TJPF_CMYK : TJPF_RGB, TJFLAG_ACCURATEDCT) != 0) {
    if (tjGetErrorCode(handle) == TJERR_FATAL || cut_short(handle)) return fail_jpeg(error);
    decompressor.reset();
  }
  if (cmyk) {  // stored inverted, as every program that writes CMYK JPEGs does
    const size_t pixels = size_t(image.width) * image.height;
    for (size_t i = 0; i < pixels; ++i) {
      const uint8_t* from = &image.rgb[i * 4];
      const int black = from[3];
      const int r = from[0] * black / 255, g = from[1] * black / 255, b = from[2] * black / 255;
      image.rgb[i * 3] = uint8_t(r);
      image.rgb[i * 3 + 1] = uint8_t(g);
      image.rgb[i * 3 + 2] = uint8_t(b);
    }
    image.rgb.resize(pixels * 3);
  }
  return true;
}

bool decode_png(std::span<const uint8_t> bytes, Image& image, DecodeError& error) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&png, png_image_free);
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) return fail(error, png.message);
  if (long(png.width) * long(png.height) > kMaxPixels) return fail(error, "more than 100 million pixels");
  png.format = PNG_FORMAT_RGB;
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // libpng would take 16-bit samples for linear light
  image.width = int(png.width);
  image.height = int(png.height);
  image.rgb.resize(PNG_IMAGE_SIZE(png));
  const png_color white{255, 255, 255};
  if (!png_image_finish_read(&png, &white, image.rgb.data(), 0, nullptr)) return fail(error, png.message);
  return true;
}

}  // namespace

bool decode_image(std::span<const uint8_t> bytes, int resolution, Image& image, DecodeError& error) {
  const uint8_t png_mark[4] = {0x89, 'P', 'N', 'G'};
  if (bytes.size() >= 2 && bytes[0] == 0xff && bytes[1] == 0xd8) return decode_jpeg(bytes, resolution, image, error);
  if (bytes.size() >= 4 && std::equal(png_mark, png_mark + 4, bytes.begin())) return decode_png(bytes, image, error);
  return fail(error, bytes.empty() ? "empty file" : "neither JPEG nor PNG");
}

void resize_to_square(const Image& image, int resolution, uint8_t* out) {
  if (image.width == resolution && image.height == resolution) {
    std::copy(image.rgb.begin(), image.rgb.end(), out);
    return;
  }
  const int side = std::min(image.width, image.height);
  const Taps columns = make_taps(image.width, (image.width - side) / 2, side, resolution);
  const Taps rows = make_taps(image.height, (image.height - side) / 2, side, resolution);
  std::vector<float> narrow(size_t(image.height) * resolution * 3);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < resolution; ++x) {
      const uint8_t* from = &image.rgb[(size_t(y) * image.width + columns.first[x]) * 3];
      float sum[3] = {0, 0, 0};
      for (int t = 0; t < columns.width; ++t) {
        const float weight = columns.weights[size_t(x) * columns.width + t];
        for (int c = 0; c < 3; ++c) sum[c] += weight * from[t * 3 + c];
      }
      std::copy_n(sum, 3, &narrow[(size_t(y) * resolution + x) * 3]);
    }
  }
  const size_t row = size_t(resolution) * 3;
  std::vector<float> sum(row);
  for (int y = 0; y < resolution; ++y) {
    std::fill(sum.begin(), sum.end(), 0.f);
    for (int t = 0; t < rows.width; ++t) {
      const float weight = rows.weights[size_t(y) * rows.width + t];
      const float* from = &narrow[size_t(rows.first[y] + t) * row];
      for (size_t i = 0; i < row; ++i) sum[i] += weight * from[i];
    }
    for (size_t i = 0; i < row; ++i) out[y * row + i] = uint8_t(std::clamp(std::lround(sum[i]), 0L, 255L));
  }
}

}  // namespace sonar
