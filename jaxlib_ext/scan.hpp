// Loops over one row of the weight matrix: the only places where the solver spends time.
//
// Each works on blocks of kLanes independent accumulators, which a compiler turns into vector instructions without
// being allowed to reorder floating-point operations. The weight of a pair is max(w, floor): floor is 0 where agents
// may stay unmatched, minus infinity where they may not. Arithmetic is double precision whatever the weights' type.

#ifndef VERAX_SCAN_HPP_
#define VERAX_SCAN_HPP_

#include <cstdint>
#include <limits>

// One machine-code version per instruction set, chosen when the library is loaded, so that a portable wheel still uses
// wide vectors. Needs the GNU loader's indirect functions.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define VERAX_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VERAX_MULTIVERSION
#endif
#if defined(__GNUC__)
#define VERAX_INLINE inline __attribute__((always_inline))
#else
#define VERAX_INLINE inline
#endif

namespace verax {

constexpr int kLanes = 16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Best and second-best column of a row at the current prices; `second_column` may tie with `column`.
struct Bid {
  double best;
  double second;
  int64_t column;
  int64_t second_column;
};

namespace internal {

VERAX_INLINE double Min(double a, double b) { return a < b ? a : b; }
VERAX_INLINE double Max(double a, double b) { return a > b ? a : b; }

// Shortens the distances to all columns by the paths through `row`, which lies at distance `offset`; returns the
// smallest distance. A column that is already in the tree has price +infinity, hence never a shorter path.
template <typename T>
VERAX_INLINE double Relax(const T* weight, const double* price, int64_t num_columns, double floor, double offset,
                          int32_t row, double* distance, int32_t* predecessor) {
  double lowest[kLanes];
  for (int k = 0; k < kLanes; ++k) lowest[k] = kInfinity;
  int64_t j = 0;
  for (; j + kLanes <= num_columns; j += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const double reduced = (price[j + k] - Max(weight[j + k], floor)) + offset;
      const double old = distance[j + k];
      const bool shorter = reduced < old;
      const double now = shorter ? reduced : old;
      predecessor[j + k] = shorter ? row : predecessor[j + k];
      distance[j + k] = now;
      lowest[k] = Min(lowest[k], now);
    }
  }
  for (; j < num_columns; ++j) {
    const double reduced = (price[j] - Max(weight[j], floor)) + offset;
    if (reduced < distance[j]) {
      distance[j] = reduced;
      predecessor[j] = row;
    }
    lowest[0] = Min(lowest[0], distance[j]);
  }
  for (int k = 1; k < kLanes; ++k) lowest[0] = Min(lowest[0], lowest[k]);
  return lowest[0];
}

// Raises each column's price to what `row` would pay, and names the row where that is more than before.
template <typename T>
VERAX_INLINE void Raise(const T* weight, int64_t num_columns, double floor, int32_t row, double* price, int32_t* buyer) {
  for (int64_t j = 0; j < num_columns; ++j) {
    const double w = Max(weight[j], floor);
    buyer[j] = w > price[j] ? row : buyer[j];
    price[j] = Max(w, price[j]);
  }
}

// What a row gains in its best column at these prices.
template <typename T>
VERAX_INLINE double Best(const T* weight, const double* price, int64_t num_columns, double floor) {
  double best[kLanes];
  for (int k = 0; k < kLanes; ++k) best[k] = -kInfinity;
  int64_t j = 0;
  for (; j + kLanes <= num_columns; j += kLanes) {
    for (int k = 0; k < kLanes; ++k) best[k] = Max(best[k], Max(weight[j + k], floor) - price[j + k]);
  }
  for (; j < num_columns; ++j) best[0] = Max(best[0], Max(weight[j], floor) - price[j]);
  for (int k = 1; k < kLanes; ++k) best[0] = Max(best[0], best[k]);
  return best[0];
}

template <typename T>
VERAX_INLINE Bid BestTwo(const T* weight, const double* price, int64_t num_columns, double floor) {
  double best[kLanes], second[kLanes];
  for (int k = 0; k < kLanes; ++k) best[k] = second[k] = -kInfinity;
  int64_t j = 0;
  for (; j + kLanes <= num_columns; j += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const double profit = Max(weight[j + k], floor) - price[j + k];
      second[k] = Max(second[k], Min(best[k], profit));
      best[k] = Max(best[k], profit);
    }
  }
  for (; j < num_columns; ++j) {
    const double profit = Max(weight[j], floor) - price[j];
    second[0] = Max(second[0], Min(best[0], profit));
    best[0] = Max(best[0], profit);
  }
  Bid bid{best[0], second[0], -1, -1};
  for (int k = 1; k < kLanes; ++k) {
    bid.second = Max(Max(bid.second, second[k]), Min(bid.best, best[k]));
    bid.best = Max(bid.best, best[k]);
  }
  // A second pass finds where they are: keeping indices in the first would double its work.
  for (j = 0; j < num_columns; j += kLanes) {
    const int64_t end = j + kLanes < num_columns ? j + kLanes : num_columns;
    int hit = 0;
    for (int64_t k = j; k < end; ++k) hit |= (Max(weight[k], floor) - price[k] >= bid.second);
    if (!hit) continue;
    for (int64_t k = j; k < end; ++k) {
      const double profit = Max(weight[k], floor) - price[k];
      if (bid.column < 0 && profit == bid.best) {
        bid.column = k;
      } else if (bid.second_column < 0 && profit == bid.second) {
        bid.second_column = k;
      }
    }
    if (bid.column >= 0 && bid.second_column >= 0) break;
  }
  return bid;
}

// A column at the given distance, an unmatched one where several tie: it ends the search.
VERAX_INLINE int64_t Nearest(const double* distance, const int32_t* row_of_column, int64_t num_columns, double value) {
  int64_t found = -1;
  for (int64_t j = 0; j < num_columns; j += kLanes) {
    const int64_t end = j + kLanes < num_columns ? j + kLanes : num_columns;
    int hit = 0;
    for (int64_t k = j; k < end; ++k) hit |= (distance[k] == value);
    if (!hit) continue;
    for (int64_t k = j; k < end; ++k) {
      if (distance[k] != value) continue;
      if (row_of_column[k] < 0) return k;
      if (found < 0) found = k;
    }
  }
  return found;
}

// Whether every weight is a number of moderate size or minus infinity.
template <typename T>
VERAX_INLINE bool AllUsable(const T* weight, int64_t size, T limit) {
  int bad = 0;
  for (int64_t k = 0; k < size; ++k) {
    const T w = weight[k];
    bad |= (!(w <= limit)) | ((w < -limit) & (w != -std::numeric_limits<T>::infinity()));
  }
  return bad == 0;
}

}  // namespace internal

// The overloads exist because a template cannot be compiled once per instruction set.
#define VERAX_DEFINE_SCANS(T)                                                                               \
  VERAX_MULTIVERSION static inline double Relax(const T* weight, const double* price, int64_t num_columns,  \
                                                double floor, double offset, int32_t row, double* distance, \
                                                int32_t* predecessor) {                                     \
    return internal::Relax(weight, price, num_columns, floor, offset, row, distance, predecessor);          \
  }                                                                                                         \
  VERAX_MULTIVERSION static inline void Raise(const T* weight, int64_t num_columns, double floor,           \
                                              int32_t row, double* price, int32_t* buyer) {                 \
    internal::Raise(weight, num_columns, floor, row, price, buyer);                                         \
  }                                                                                                         \
  VERAX_MULTIVERSION static inline double Best(const T* weight, const double* price, int64_t num_columns,   \
                                               double floor) {                                              \
    return internal::Best(weight, price, num_columns, floor);                                               \
  }                                                                                                         \
  VERAX_MULTIVERSION static inline Bid BestTwo(const T* weight, const double* price, int64_t num_columns,   \
                                               double floor) {                                              \
    return internal::BestTwo(weight, price, num_columns, floor);                                            \
  }                                                                                                         \
  VERAX_MULTIVERSION static inline bool AllUsable(const T* weight, int64_t size, T limit) {                 \
    return internal::AllUsable(weight, size, limit);                                                        \
  }
VERAX_DEFINE_SCANS(float)
VERAX_DEFINE_SCANS(double)
#undef VERAX_DEFINE_SCANS

VERAX_MULTIVERSION static inline int64_t Nearest(const double* distance, const int32_t* row_of_column,
                                                 int64_t num_columns, double value) {
  return internal::Nearest(distance, row_of_column, num_columns, value);
}

}  // namespace verax

#endif  // VERAX_SCAN_HPP_
