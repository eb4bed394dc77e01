// Mixed precision for as long as the object lives. Includes LibTorch's headers.
#pragma once
#include <ATen/autocast_mode.h>

#include "train/torch_headers.h"

namespace sonar {

/// Runs convolutions and dense layers in bfloat16 when `on`. LibTorch changed these functions' names in 2.4.
class Autocast {
 public:
  Autocast(const torch::Device& device, bool on) : device_(device), on_(on) {
    if (on_) set(true);
  }
  ~Autocast() {
    if (!on_) return;
    set(false);
    at::autocast::clear_cache();  // weights change before the next use
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  void set(bool value) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    at::autocast::set_autocast_dtype(device_.type(), at::kBFloat16);
    at::autocast::set_autocast_enabled(device_.type(), value);
#else
    if (device_.is_cpu()) {
      at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
      at::autocast::set_cpu_enabled(value);
    } else {
      at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
      at::autocast::set_enabled(value);
    }
#endif
  }

  torch::Device device_;
  bool on_;
};

}  // namespace sonar
