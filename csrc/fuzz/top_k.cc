// Masks against a stable sort, and the straight-through gradient against its formula.

#include "top_k.h"

#include <cmath>
#include <numeric>

#include "fuzz/input.h"

namespace {

using tfsupermask::Ranking;

float Rank(float score, Ranking ranking) {
  if (std::isnan(score)) return -INFINITY;
  return ranking == Ranking::kMagnitude ? std::fabs(score) : score;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tfsupermask::fuzz::Check;
  tfsupermask::fuzz::Input input(data, size);
  const auto ranking = static_cast<Ranking>(input.Within(0, 1));
  const int threads = static_cast<int>(input.Within(1, 3));
  const int64_t count = input.Within(1, 300);
  const int64_t kept = input.Within(1, count);
  std::vector<float> scores;
  if (input.Take<uint8_t>() % 2 != 0) {
    scores = input.Many<float>(count);  // of any bits: NaN, infinite, denormal
  } else {
    for (int64_t i = 0; i < count; ++i) {  // many ties
      scores.push_back(static_cast<float>(input.Take<int8_t>() / 16) / 4);
    }
  }
  std::vector<float> values(scores.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 50.5f;

  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  // NaN ranks below minus infinity.
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool a_nan = std::isnan(scores[a]), b_nan = std::isnan(scores[b]);
    if (a_nan || b_nan) return !a_nan && b_nan;
    return Rank(scores[a], ranking) > Rank(scores[b], ranking);
  });
  std::vector<float> expected(scores.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const float mask = static_cast<int64_t>(i) < kept ? 1.0f : 0.0f;
    expected[order[i]] = values[order[i]] * mask;
  }
  std::vector<float> masked(scores.size(), -7.0f);
  tfsupermask::MaskAllButTopK(scores.data(), values.data(), count, kept, ranking,
                              threads, masked.data());
  Check(SameBits(masked, expected), "mask");

  for (float& score : scores) {
    if (std::isnan(score)) score = 0.0f;
  }
  std::vector<float> upstream(scores.size()), gradient(scores.size(), -7.0f);
  for (size_t i = 0; i < upstream.size(); ++i)
    upstream[i] = 0.5f * static_cast<float>(i);
  tfsupermask::StraightThrough(upstream.data(), values.data(), scores.data(), count,
                               ranking, threads, gradient.data());
  for (size_t i = 0; i < gradient.size(); ++i) {
    const auto sign = static_cast<float>((scores[i] > 0) - (scores[i] < 0));
    const float product = upstream[i] * values[i];
    Check(gradient[i] == (ranking == Ranking::kMagnitude ? product * sign : product),
          "gradient");
  }
  return 0;
}
