// How the spaces choose the values of their knobs, and what they share in judging them.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "program/program_space.h"

namespace sonar {

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
inline int round_up(int a, int b) { return ceil_div(a, b) * b; }
inline float log2_of(double value) { return static_cast<float>(std::log2(1 + value)); }

/// Unrolled vector multiply-adds of a tile. More cost compile time and gain nothing: the best programs found stay
/// below.
inline constexpr int kMaxUnrolled = 192;
/// Where the loops are split into edges and interior, each with a copy of the tile.
inline constexpr int kMaxUnrolledOfCopies = 64;
/// Of default programs: all of a run's subgraphs compile theirs before anything else is known.
inline constexpr int kMaxUnrolledOfDefault = 96;

/// Those of `candidates` that are <= limit; never empty (the first one stays).
std::vector<int> up_to(const std::vector<int>& candidates, int limit);
/// Divisors of n, ascending, <= limit.
std::vector<int> divisors(int n, int limit);
/// The values of both, ascending, each once.
std::vector<int> merged(const std::vector<int>& a, const std::vector<int>& b);
/// Vector widths for an axis whose last vector may reach beyond its end (padded weights, masked stores): half, native
/// and double width; narrower where the axis is short.
std::vector<int> padded_vectors(const Target& target, int extent);
/// Vector widths for an axis whose last vector is shifted back inside: none exceeds the extent.
std::vector<int> inside_vectors(const Target& target, int extent);
/// {0}, or {0, 1} when programs for AVX2 are a choice.
std::vector<int> avx2_values(const Target& target);
/// {0}, or {0, 1} when the target has several threads.
std::vector<int> parallel_values(const Target& target);

/// The largest value of `values` <= limit (the first one when there is none).
int largest_up_to(const std::vector<int>& values, int limit);

/// The value <= limit whose tiles of value * unit exceed the extent least; the largest of those.
int least_wasteful(const std::vector<int>& values, int limit, int extent, int unit);

/// Empty, or what is wrong with the vector as such: its length, or a value that its knob does not have.
std::string why_outside(const std::vector<KnobSpec>& specs, const Knobs& knobs);

/// Vector operations of an activation, roughly; an exponential function takes about twenty.
int activation_operations(Activation activation);

/// log2 of every knob: the part of the features that all kinds share.
std::vector<float> knob_features(const Knobs& knobs);

}  // namespace sonar
