#include "train/image_decode.h"

#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>

#include <cmath>

#include "train/resample.h"
#include "train/test_images.h"

namespace sonar {
namespace {

Image decode(const Bytes& bytes, int resolution = 0) {
  Image image;
  DecodeError error;
  EXPECT_TRUE(decode_image(bytes, resolution, image, error)) << error.why;
  return image;
}

std::string failure(const Bytes& bytes) {
  Image image;
  DecodeError error;
  return decode_image(bytes, 0, image, error) ? "decoded" : error.why;
}

/// A PNG of any format: `samples` as the format has them.
Bytes png_of(int width, int height, png_uint_32 format, const void* samples, const void* palette = nullptr,
             int colours = 0) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = png_uint_32(width);
  png.height = png_uint_32(height);
  png.format = format;
  png.colormap_entries = png_uint_32(colours);
  Bytes bytes(1 << 16);
  png_alloc_size_t size = bytes.size();
  EXPECT_TRUE(png_image_write_to_memory(&png, bytes.data(), &size, 0, samples, 0, palette)) << png.message;
  bytes.resize(size);
  return bytes;
}

double mean_difference(const Bytes& a, const Bytes& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(int(a[i]) - int(b[i]));
  return sum / double(a.size());
}

TEST(DecodeImage, PngIsExact) {
  const Image image = make_image(13, 7, 200, 100, 50);
  const Image decoded = decode(encode_png(image));
  EXPECT_EQ(decoded.width, 13);
  EXPECT_EQ(decoded.height, 7);
  EXPECT_EQ(decoded.rgb, image.rgb);
}

TEST(DecodeImage, JpegIsClose) {
  const Image image = make_image(40, 24, 200, 100, 50);
  const Image decoded = decode(encode_jpeg(image, 100));
  EXPECT_EQ(decoded.width, 40);
  EXPECT_EQ(decoded.height, 24);
  EXPECT_LT(mean_difference(decoded.rgb, image.rgb), 1.5);
}

TEST(DecodeImage, GreyBecomesRgb) {
  const Bytes grey = {0, 100, 200, 255};
  EXPECT_EQ(decode(png_of(2, 2, PNG_FORMAT_GRAY, grey.data())).rgb,
            (Bytes{0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255}));
  tjhandle handle = tjInitCompress();
  unsigned char* data = nullptr;
  unsigned long size = 0;
  const Bytes flat(64, 77);
  ASSERT_EQ(tjCompress2(handle, flat.data(), 8, 0, 8, TJPF_GRAY, &data, &size, TJSAMP_GRAY, 100, 0), 0);
  EXPECT_EQ(decode(Bytes(data, data + size)).rgb, Bytes(192, 77));
  tjFree(data);
  tjDestroy(handle);
}

TEST(DecodeImage, PaletteBecomesRgb) {
  const Bytes palette = {255, 0, 0, 0, 0, 255}, indices = {0, 1, 1, 0};
  EXPECT_EQ(decode(png_of(2, 2, PNG_FORMAT_RGB_COLORMAP, indices.data(), palette.data(), 2)).rgb,
            (Bytes{255, 0, 0, 0, 0, 255, 0, 0, 255, 255, 0, 0}));
}

TEST(DecodeImage, TransparentPixelsLieOverWhite) {
  const Bytes rgba = {10, 20, 30, 255, 10, 20, 30, 0};
  EXPECT_EQ(decode(png_of(2, 1, PNG_FORMAT_RGBA, rgba.data())).rgb, (Bytes{10, 20, 30, 255, 255, 255}));
}

TEST(DecodeImage, SixteenBitSamplesKeepTheirBrightness) {
  // libpng writes 16-bit images as linear light with a gamma chunk; what counts is that grey stays grey and ordered.
  std::vector<uint16_t> samples;
  for (int i = 0; i < 16; ++i) samples.push_back(uint16_t(i * 4369));
  const Image image = decode(png_of(16, 1, PNG_FORMAT_LINEAR_Y, samples.data()));
  EXPECT_EQ(image.rgb.front(), 0);
  EXPECT_EQ(image.rgb.back(), 255);
  for (size_t i = 3; i < image.rgb.size(); i += 3) {
    EXPECT_GT(image.rgb[i], image.rgb[i - 3]);
    EXPECT_EQ(image.rgb[i], image.rgb[i + 1]);
  }
}

TEST(DecodeImage, CmykJpegBecomesRgb) {
  tjhandle handle = tjInitCompress();
  unsigned char* data = nullptr;
  unsigned long size = 0;
  Bytes cmyk;  // stored inverted: 255 is no ink
  for (int i = 0; i < 64; ++i) cmyk.insert(cmyk.end(), {255, 128, 0, 255});
  ASSERT_EQ(tjCompress2(handle, cmyk.data(), 8, 0, 8, TJPF_CMYK, &data, &size, TJSAMP_444, 100, 0), 0);
  const Image image = decode(Bytes(data, data + size));
  tjFree(data);
  tjDestroy(handle);
  ASSERT_EQ(image.rgb.size(), 192u);
  EXPECT_NEAR(image.rgb[0], 255, 3);
  EXPECT_NEAR(image.rgb[1], 128, 3);
  EXPECT_NEAR(image.rgb[2], 0, 3);
}

TEST(DecodeImage, SaysWhyItFails) {
  EXPECT_EQ(failure({}), "empty file");
  EXPECT_EQ(failure({'G', 'I', 'F', '8', '9', 'a'}), "neither JPEG nor PNG");
  Bytes jpeg = encode_jpeg(make_image(64, 64, 90, 90, 90));
  jpeg.resize(jpeg.size() / 2);
  EXPECT_NE(failure(jpeg).find("Premature end"), std::string::npos) << failure(jpeg);
}

TEST(DecodeImage, NoCutCrashes) {
  const Image image = make_image(16, 16, 90, 160, 30);
  for (const Bytes& whole : {encode_jpeg(image), encode_png(image)}) {
    for (size_t length = 0; length < whole.size(); ++length) {
      const Bytes cut(whole.begin(), whole.begin() + long(length));
      const std::string outcome = failure(cut);
      if (length < whole.size() / 2) {
        EXPECT_NE(outcome, "decoded") << length << " of " << whole.size() << " bytes";
      }
    }
  }
}

TEST(DecodeImage, NoFlippedByteCrashes) {
  const Image image = make_image(16, 16, 90, 160, 30);
  for (const Bytes& whole : {encode_jpeg(image), encode_png(image)}) {
    for (size_t i = 0; i < whole.size(); ++i) {
      Bytes broken = whole;
      broken[i] ^= 0x5a;
      Image decoded;
      DecodeError error;
      if (decode_image(broken, 0, decoded, error)) {
        EXPECT_EQ(decoded.rgb.size(), size_t(decoded.width) * size_t(decoded.height) * 3);
      } else {
        EXPECT_NE(error.why, "");
      }
    }
  }
}

TEST(DecodeImage, LargeJpegsAreReducedButNotBelowTheResolution) {
  const Image image = make_image(512, 256, 10, 200, 100);
  const Image decoded = decode(encode_jpeg(image), 64);
  EXPECT_LT(decoded.width, 512);
  EXPECT_GE(decoded.height, 64);
  EXPECT_EQ(decoded.width, 2 * decoded.height);
}

TEST(ResizeToSquare, TakesTheCentre) {
  Image image{6, 2, Bytes(36, 0)};
  for (int y = 0; y < 2; ++y) {
    for (int x = 2; x < 4; ++x) std::fill_n(&image.rgb[size_t(y * 6 + x) * 3], 3, 200);
  }
  Bytes out(2 * 2 * 3);
  resize_to_square(image, 2, out.data());
  EXPECT_EQ(out, Bytes(12, 200));
  Bytes large(8 * 8 * 3);
  resize_to_square(image, 8, large.data());  // nothing of the cropped sides may bleed in
  EXPECT_EQ(large, Bytes(192, 200));
}

TEST(Taps, KeepConstantsAndInsideOfRamps) {
  for (int in : {1, 2, 5, 32, 33}) {
    for (int out : {1, 3, 16, 32, 48, 100}) {
      const Taps taps = make_taps(in, out);
      for (int i = 0; i < out; ++i) {
        double sum = 0, ramp = 0;
        ASSERT_GE(taps.first[size_t(i)], 0);
        ASSERT_LE(taps.first[size_t(i)] + taps.width, in);
        for (int t = 0; t < taps.width; ++t) {
          const double weight = taps.weights[size_t(i) * size_t(taps.width) + size_t(t)];
          sum += weight;
          ramp += weight * (taps.first[size_t(i)] + t + 0.5);
        }
        EXPECT_NEAR(sum, 1, 1e-6);
        const double centre = (i + 0.5) * in / out, radius = std::max(1.0, double(in) / out);
        // Away from the borders an enlarged ramp is itself; a reduced one, symmetric taps being cut nowhere, nearly so.
        if (centre > radius && centre < in - radius) {
          EXPECT_NEAR(ramp, centre, in > out ? 0.1 : 1e-5) << in << " " << out;
        }
      }
    }
  }
}

TEST(Taps, SameSizeIsTheIdentity) {
  const Taps taps = make_taps(7, 7);
  for (int i = 0; i < 7; ++i) {
    for (int t = 0; t < taps.width; ++t) {
      EXPECT_EQ(taps.weights[size_t(i * taps.width + t)], taps.first[size_t(i)] + t == i ? 1.f : 0.f);
    }
  }
}

}  // namespace
}  // namespace sonar
