// Extreme points of the lattice of optimal prices, by Dijkstra's algorithm from any optimal prices.
//
// The price of column j can fall until it is 0, or until a row would rather take it: an unmatched one, or row i whose
// own column c falls at the same time. So the amount by which it falls at most is a shortest distance in the reduced
// costs u_i + p_j - w_ij, with p_j itself as the distance from the start.

#ifndef VERAX_EXTREME_PRICES_HPP_
#define VERAX_EXTREME_PRICES_HPP_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "scan.hpp"

namespace verax {

enum class PriceRule : int32_t { kAny = 0, kRowOptimal = 1, kColumnOptimal = 2, kMidpoint = 3 };

// Works where agents may stay unmatched, in memory allocated once; n and m in any order.
template <typename T>
class ColumnPriceReducer {
 public:
  explicit ColumnPriceReducer(int64_t num_columns)
      : number_(num_columns),
        open_price_(num_columns),
        distance_(num_columns),
        predecessor_(num_columns),
        fall_(num_columns) {
    for (int64_t j = 0; j < num_columns; ++j) number_[j] = static_cast<double>(j);
  }

  // Lowers column prices as far as possible and raises those of rows.
  void Reduce(const T* weights, const int32_t* col_of_row, const int32_t* row_of_col, int64_t num_rows,
              int64_t num_columns, double* row_price, double* col_price) {
    int64_t num_matched = 0;
    Reached nearest{kInfinity, kInfinity};
    for (int64_t j = 0; j < num_columns; ++j) {
      const bool matched = row_of_col[j] >= 0;
      num_matched += matched;
      open_price_[j] = matched ? col_price[j] : kInfinity;
      distance_[j] = open_price_[j];
      fall_[j] = 0.0;
      if (distance_[j] < nearest.distance) nearest = {distance_[j], number_[j]};
    }
    for (int64_t i = 0; i < num_rows; ++i) {
      if (col_of_row[i] < 0) nearest = Scan(weights + i * num_columns, num_columns, 0.0);
    }
    for (int64_t k = 0; k < num_matched; ++k) {
      const int64_t j = static_cast<int64_t>(nearest.rank);
      const int64_t i = row_of_col[j];
      fall_[j] = internal::Max(nearest.distance, 0.0);
      open_price_[j] = kInfinity;
      distance_[j] = kInfinity;
      const T* row = weights + i * num_columns;
      nearest = Scan(row, num_columns, fall_[j] + (static_cast<double>(row[j]) - col_price[j]));
    }
    for (int64_t j = 0; j < num_columns; ++j) {
      if (row_of_col[j] < 0) continue;
      col_price[j] = internal::Max(col_price[j] - fall_[j], 0.0);
      const int64_t i = row_of_col[j];
      row_price[i] = internal::Max(static_cast<double>(weights[i * num_columns + j]) - col_price[j], 0.0);
    }
  }

 private:
  Reached Scan(const T* row, int64_t num_columns, double offset) {
    return Relax(row, open_price_.data(), number_.data(), num_columns, 1.0, -kInfinity, offset, 0, distance_.data(),
                 predecessor_.data());
  }

  std::vector<double> number_;
  std::vector<double> open_price_;
  std::vector<double> distance_;
  std::vector<int32_t> predecessor_;  // not looked at
  std::vector<double> fall_;
};

// Moves optimal prices to those of a rule.
template <typename T>
class PriceSelector {
 public:
  PriceSelector(int64_t num_rows, int64_t num_columns)
      : num_rows_(num_rows), num_columns_(num_columns), columns_(num_columns), rows_(num_rows) {}

  void Select(PriceRule rule, const T* weights, const int32_t* col_of_row, const int32_t* row_of_col, double* row_price,
              double* col_price) {
    if (rule == PriceRule::kAny) return;
    if (rule != PriceRule::kMidpoint) {
      Extreme(rule, weights, col_of_row, row_of_col, row_price, col_price);
      return;
    }
    row_.assign(row_price, row_price + num_rows_);
    column_.assign(col_price, col_price + num_columns_);
    Extreme(PriceRule::kRowOptimal, weights, col_of_row, row_of_col, row_price, col_price);
    Extreme(PriceRule::kColumnOptimal, weights, col_of_row, row_of_col, row_.data(), column_.data());
    for (int64_t i = 0; i < num_rows_; ++i) row_price[i] = (row_price[i] + row_[i]) / 2;
    for (int64_t j = 0; j < num_columns_; ++j) col_price[j] = (col_price[j] + column_[j]) / 2;
  }

 private:
  void Extreme(PriceRule rule, const T* weights, const int32_t* col_of_row, const int32_t* row_of_col,
               double* row_price, double* col_price) {
    if (rule == PriceRule::kRowOptimal) {
      columns_.Reduce(weights, col_of_row, row_of_col, num_rows_, num_columns_, row_price, col_price);
      return;
    }
    transposed_.resize(num_rows_ * num_columns_);
    for (int64_t i = 0; i < num_rows_; ++i) {
      for (int64_t j = 0; j < num_columns_; ++j) transposed_[j * num_rows_ + i] = weights[i * num_columns_ + j];
    }
    rows_.Reduce(transposed_.data(), row_of_col, col_of_row, num_columns_, num_rows_, col_price, row_price);
  }

  const int64_t num_rows_;
  const int64_t num_columns_;
  ColumnPriceReducer<T> columns_;
  ColumnPriceReducer<T> rows_;
  std::vector<T> transposed_;
  std::vector<double> row_;
  std::vector<double> column_;
};

}  // namespace verax

#endif  // VERAX_EXTREME_PRICES_HPP_
