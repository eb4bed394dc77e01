#include "train/batch_norm.h"

#include <cmath>

#include "graph/parameters.h"
#include "train/kernels.h"

namespace sonar {
namespace {

/// Splits rows into one part a thread; the parts' sums are added in order, so that a run repeats bit for bit.
template <class Work>
void for_parts(long rows, const Work& work) {
  const long parts = std::min<long>(at::get_num_threads(), std::max(1L, rows / 64));
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) work(part, rows * part / parts, rows * (part + 1) / parts);
  });
}

struct Sums {
  std::vector<std::vector<double>> first, second;  // [part][channel]
  explicit Sums(int channels)
      : first(size_t(at::get_num_threads()), std::vector<double>(size_t(channels))), second(first) {}
  static double total(const std::vector<std::vector<double>>& parts, int c) {
    double sum = 0;
    for (const auto& part : parts) sum += part[size_t(c)];
    return sum;
  }
};

class BatchNormActivation : public torch::autograd::Function<BatchNormActivation> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mean,
                               const torch::Tensor& variance, bool training, double momentum, int64_t activation) {
    const torch::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast);
    const int channels = int(x.size(1));
    const long rows = x.numel() / channels;
    const float* from = x.data_ptr<float>();
    // Rows of the constants: scale, shift, mean, inverse standard deviation.
    torch::Tensor constants = torch::empty({4, channels});
    float* scale = constants.data_ptr<float>();
    float *shift = scale + channels, *centre = shift + channels, *inverse_std = centre + channels;
    float* running_mean = mean.data_ptr<float>();
    float* running_variance = variance.data_ptr<float>();
    if (training) {
      Sums sums(channels);
      for_parts(rows, [&](long part, long begin, long end) {
        add_moments(from + begin * channels, end - begin, channels, from, sums.first[size_t(part)].data(),
                    sums.second[size_t(part)].data());
      });
      for (int c = 0; c < channels; ++c) {
        const double offset = Sums::total(sums.first, c) / double(rows);
        const double spread = std::max(0.0, Sums::total(sums.second, c) / double(rows) - offset * offset);
        centre[c] = float(from[c] + offset);
        inverse_std[c] = float(1 / std::sqrt(spread + kBatchNormEpsilon));
        const double unbiased = spread * double(rows) / double(std::max(1L, rows - 1));
        running_mean[c] += float(momentum * (centre[c] - running_mean[c]));
        running_variance[c] += float(momentum * (unbiased - running_variance[c]));
      }
    } else {
      for (int c = 0; c < channels; ++c) {
        centre[c] = running_mean[c];
        inverse_std[c] = float(1 / std::sqrt(double(running_variance[c]) + kBatchNormEpsilon));
      }
    }
    const float* gamma = weight.data_ptr<float>();
    const float* beta = bias.data_ptr<float>();
    for (int c = 0; c < channels; ++c) {
      scale[c] = gamma[c] * inverse_std[c];
      shift[c] = beta[c] - centre[c] * scale[c];
    }
    torch::Tensor y = torch::empty_like(x, at::MemoryFormat::ChannelsLast);
    float* to = y.data_ptr<float>();
    for_parts(rows, [&](long, long begin, long end) {
      scale_shift_activate(from + begin * channels, end - begin, channels, scale, shift, Activation(activation),
                           to + begin * channels);
    });
    context->save_for_backward({x, constants});
    context->saved_data["activation"] = activation;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& x = saved[0];
    const torch::Tensor dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const Activation activation = Activation(context->saved_data["activation"].toInt());
    const int channels = int(x.size(1));
    const long rows = x.numel() / channels;
    const float* from = x.data_ptr<float>();
    const float* gradient = dy.data_ptr<float>();
    const float* scale = saved[1].data_ptr<float>();
    const float *shift = scale + channels, *centre = shift + channels, *inverse_std = centre + channels;
    Sums sums(channels);
    for_parts(rows, [&](long part, long begin, long end) {
      add_batch_norm_sums(gradient + begin * channels, from + begin * channels, end - begin, channels, scale, shift,
                          centre, inverse_std, activation, sums.first[size_t(part)].data(),
                          sums.second[size_t(part)].data());
    });
    torch::Tensor weight_gradient = torch::empty({channels}), bias_gradient = torch::empty({channels});
    std::vector<float> mean_g(static_cast<size_t>(channels)), mean_gn(mean_g.size());
    for (int c = 0; c < channels; ++c) {
      const double sum_g = Sums::total(sums.first, c), sum_gn = Sums::total(sums.second, c);
      bias_gradient.data_ptr<float>()[c] = float(sum_g);
      weight_gradient.data_ptr<float>()[c] = float(sum_gn);
      mean_g[size_t(c)] = float(sum_g / double(rows));
      mean_gn[size_t(c)] = float(sum_gn / double(rows));
    }
    torch::Tensor dx = torch::empty_like(x, at::MemoryFormat::ChannelsLast);
    float* to = dx.data_ptr<float>();
    for_parts(rows, [&](long, long begin, long end) {
      batch_norm_input_gradient(gradient + begin * channels, from + begin * channels, end - begin, channels, scale,
                                shift, centre, inverse_std, mean_g.data(), mean_gn.data(), activation,
                                to + begin * channels);
    });
    return {dx, weight_gradient, bias_gradient, {}, {}, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor batch_norm_activation(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                    const torch::Tensor& mean, const torch::Tensor& variance, bool training,
                                    double momentum, Activation activation) {
  return BatchNormActivation::apply(x, weight, bias, mean, variance, training, momentum, int64_t(activation));
}

}  // namespace sonar
