#include "train/random_batch.h"

#include <algorithm>

#include "model/error.h"
#include "model/random.h"

namespace sonar {

BatchStream::BatchStream(const std::vector<int>& images, const BatchOptions& options, uint64_t seed,
                         const std::string& network)
    : images_(images),
      options_(options),
      seed_(derive_seed(seed, "batches of " + network)),
      batch_(std::min<int>(options.batch, int(images.size()))) {
  if (batch_ < 1) throw InternalError("a batch of no images");
}

std::vector<Placement> BatchStream::at(long step) {
  const long epoch = step / steps_per_epoch();
  if (epoch != epoch_) {
    order_ = images_;
    Random(derive_seed(seed_, "epoch " + std::to_string(epoch))).shuffle(order_);
    epoch_ = epoch;
  }
  Random random(derive_seed(seed_, "step " + std::to_string(step)));
  const size_t begin = size_t(step % steps_per_epoch()) * size_t(batch_);
  std::vector<Placement> placements(static_cast<size_t>(batch_));
  for (size_t i = 0; i < placements.size(); ++i) {
    Placement& placement = placements[i];
    placement.image = order_[begin + i];
    const uint64_t range = 2 * uint64_t(options_.crop_padding) + 1;
    placement.shift_y = int(random.below(range)) - options_.crop_padding;
    placement.shift_x = int(random.below(range)) - options_.crop_padding;
    placement.flip = options_.flip && random.below(2) == 1;
  }
  return placements;
}

std::vector<Placement> plain_batch(const std::vector<int>& images, size_t begin, size_t end) {
  std::vector<Placement> placements(end - begin);
  for (size_t i = begin; i < end; ++i) placements[i - begin].image = images[i];
  return placements;
}

}  // namespace sonar
