// For the tests: a second, independent execution of ONNX models, in double and in the file's own layout.
#pragma once
#include <vector>

#include "onnx/onnx_model.h"

namespace sonar {

/// `input`: [batch][channels][height][width]. Knows the operators of test_models.h, without checks.
std::vector<double> evaluate_nchw(const OnnxModel& model, const std::vector<float>& input, int64_t batch);

}  // namespace sonar
