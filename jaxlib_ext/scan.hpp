// Loops over one row of the weight matrix: the only places where the solver spends time.
//
// Each works on packs of columns held in registers. The weight of a pair is max(sign w, floor): sign is 1 or -1, floor
// 0 where agents may stay unmatched, minus infinity where they may not. Arithmetic is double precision whatever the
// weights' type, and results do not depend on the instruction set.

#ifndef VERAX_SCAN_HPP_
#define VERAX_SCAN_HPP_

#include <cstdint>
#include <cstring>
#include <limits>

#if !defined(__GNUC__)
#error "needs the vector extensions of GCC or Clang"
#endif

namespace verax {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Best and second-best column of a row at the current prices; `second_column` may tie with `column`.
struct Bid {
  double best;
  double second;
  int64_t column;
  int64_t second_column;
};

// The nearest column: where it is, and its rank.
struct Reached {
  double distance;
  double rank;
};

namespace internal {

inline double Min(double a, double b) { return a < b ? a : b; }
inline double Max(double a, double b) { return a > b ? a : b; }

// The same code for each instruction set, so that a portable build still uses wide vectors. Packs are as wide as its
// registers: a compiler turns comparisons of wider ones into loops over single numbers.
namespace base {
#define VERAX_LANES 2
#include "scan_body.hpp"
#undef VERAX_LANES
}  // namespace base

#if defined(__x86_64__) && !defined(__clang__)
#define VERAX_X86_LEVELS 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define VERAX_LANES 4
#include "scan_body.hpp"
#undef VERAX_LANES
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")
namespace avx512 {
#define VERAX_LANES 8
#include "scan_body.hpp"
#undef VERAX_LANES
}  // namespace avx512
#pragma GCC pop_options

inline int Level() {
  static const int level = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw")) {
      return 2;
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
  }();
  return level;
}
#endif

}  // namespace internal

#if defined(VERAX_X86_LEVELS)
#define VERAX_DISPATCH(call)                     \
  const int level = internal::Level();           \
  if (level == 2) return internal::avx512::call; \
  if (level == 1) return internal::avx2::call;   \
  return internal::base::call
#else
#define VERAX_DISPATCH(call) return internal::base::call
#endif

template <typename T>
Reached Relax(const T* weight, const double* price, const double* rank, int64_t num_columns, double sign, double floor,
              double offset, int32_t row, double* distance, int32_t* predecessor) {
  VERAX_DISPATCH(Relax(weight, price, rank, num_columns, sign, floor, offset, row, distance, predecessor));
}

template <typename T>
void Raise(const T* weight, int64_t num_columns, double sign, double floor, int32_t row, double* price,
           int32_t* buyer) {
  VERAX_DISPATCH(Raise(weight, num_columns, sign, floor, row, price, buyer));
}

template <typename T>
double Best(const T* weight, const double* price, int64_t num_columns, double sign, double floor) {
  VERAX_DISPATCH(Best(weight, price, num_columns, sign, floor));
}

template <typename T>
Bid BestTwo(const T* weight, const double* price, int64_t num_columns, double sign, double floor) {
  VERAX_DISPATCH(BestTwo(weight, price, num_columns, sign, floor));
}

template <typename T>
double Largest(const T* weight, int64_t size, double sign) {
  VERAX_DISPATCH(Largest(weight, size, sign));
}

#undef VERAX_DISPATCH

}  // namespace verax

#endif  // VERAX_SCAN_HPP_
