#include "train/device_render.h"

namespace sonar {
namespace {

/// The resampling of one axis as a matrix [out, in].
torch::Tensor resample_matrix(int in, int out, const torch::Device& device) {
  const Taps taps = make_taps(in, out);
  torch::Tensor matrix = torch::zeros({out, in});
  float* values = matrix.data_ptr<float>();
  for (int i = 0; i < out; ++i) {
    for (int t = 0; t < taps.width; ++t) {
      values[size_t(i) * size_t(in) + size_t(taps.first[size_t(i)] + t)] +=
          taps.weights[size_t(i) * size_t(taps.width) + size_t(t)];
    }
  }
  return matrix.to(device);
}

/// One number of each placement, as [n] int64 on the device.
template <class Value>
torch::Tensor column(const std::vector<Placement>& placements, Value value, const torch::Device& device) {
  torch::Tensor host = torch::empty({int64_t(placements.size())}, torch::kInt64);
  for (size_t i = 0; i < placements.size(); ++i) host.data_ptr<int64_t>()[i] = int64_t(placements[i].*value);
  return host.to(device);
}

}  // namespace

torch::Tensor upload_images(const Dataset& data, const torch::Device& device) {
  const int64_t count = int64_t(data.pixels.size() / data.image_bytes());
  return torch::from_blob(const_cast<uint8_t*>(data.pixels.data()), {count, data.resolution, data.resolution, 3},
                          torch::kUInt8)
      .to(device, torch::kUInt8, /*non_blocking=*/false, /*copy=*/true);
}

torch::Tensor render_on_device(const torch::Tensor& images, const Normalisation& normalisation,
                               const std::vector<Placement>& placements, int resolution) {
  const torch::Device device = images.device();
  const int side = int(images.size(1));
  const torch::Tensor image = column(placements, &Placement::image, device);
  const torch::Tensor flip = column(placements, &Placement::flip, device).unsqueeze(1).to(torch::kBool);
  const torch::Tensor axis =
      torch::arange(side, torch::TensorOptions().dtype(torch::kInt64).device(device)).unsqueeze(0);
  const torch::Tensor y = axis + column(placements, &Placement::shift_y, device).unsqueeze(1);
  const torch::Tensor x = axis + column(placements, &Placement::shift_x, device).unsqueeze(1);
  const torch::Tensor inside = ((y >= 0) & (y < side)).unsqueeze(2) & ((x >= 0) & (x < side)).unsqueeze(1);
  const torch::Tensor from_y = y.clamp(0, side - 1);
  const torch::Tensor from_x = torch::where(flip, side - 1 - x, x).clamp(0, side - 1);
  torch::Tensor pixels =
      images.index({image.unsqueeze(1).unsqueeze(2), from_y.unsqueeze(2), from_x.unsqueeze(1)}).to(torch::kFloat32);
  const auto channels = [&](const std::array<float, 3>& values) {
    return torch::tensor({values[0], values[1], values[2]}, torch::kFloat32).to(device);
  };
  pixels = (pixels - channels(normalisation.mean)) / channels(normalisation.deviation);
  pixels = (pixels * inside.unsqueeze(3)).permute({0, 3, 1, 2});
  if (resolution != side) {
    const torch::Tensor matrix = resample_matrix(side, resolution, device);
    pixels = torch::matmul(torch::matmul(matrix, pixels), matrix.t());
  }
  return pixels.contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace sonar
