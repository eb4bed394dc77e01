// LibTorch's headers, precompiled: about 25 s otherwise in every file that includes them.
#pragma once
#include <torch/torch.h>
