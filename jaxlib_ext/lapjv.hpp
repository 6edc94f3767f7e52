// Exact assignment by auction-like initialisation and shortest augmenting paths, with optimal dual prices.
//
//   maximise sum_ij w_ij x_ij,  rows sum to 1 (or at most 1), columns to at most 1,  n <= m
//   dual: minimise sum_i u_i + sum_j p_j,  u_i + p_j >= w_ij,  p >= 0 (and u >= 0 where rows may stay unmatched)
//
// Method: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
// problems", Computing 38 (1987): their augmenting row reduction from zero prices, then their augmentation phase.
// Their column reduction is left out: it moves prices of columns that may stay unmatched, which must remain at 0.
//
// Where rows may stay unmatched, negative weights count as 0 and every row is matched; pairs of weight <= 0 are then
// dissolved, which changes neither value nor optimality of the prices. That p >= 0 needs no care, because prices only
// rise; that u >= 0 holds because the last column to be matched still has price 0.

#ifndef VERAX_LAPJV_HPP_
#define VERAX_LAPJV_HPP_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "scan.hpp"

namespace verax {

enum class Status : int32_t { kOk = 0, kInfeasible = 1, kNonFinite = 2 };

// Solves problems of one size, one after the other, in memory allocated once. All loops are bounded, so that ties,
// rounding and invalid weights cannot make it hang.
template <typename T>
class AssignmentSolver {
 public:
  AssignmentSolver(int64_t num_rows, int64_t num_columns)
      : num_rows_(num_rows),
        num_columns_(num_columns),
        price_(num_columns),
        open_price_(num_columns),
        distance_(num_columns),
        predecessor_(num_columns),
        free_rows_(num_rows) {}

  // Writes -1 for unmatched, and NaN prices where the status is not kOk.
  Status Solve(const T* weights, bool allow_unmatched, int32_t* column_of_row, int32_t* row_of_column, T* row_price,
               T* column_price) {
    weights_ = weights;
    floor_ = allow_unmatched ? 0.0 : -kInfinity;
    column_of_row_ = column_of_row;
    row_of_column_ = row_of_column;
    std::fill_n(column_of_row, num_rows_, -1);
    std::fill_n(row_of_column, num_columns_, -1);
    std::fill(price_.begin(), price_.end(), 0.0);

    Status status = Status::kOk;
    // Prices grow to at most 2 n max|w|; beyond this limit they could overflow.
    const T limit = std::numeric_limits<T>::max() / static_cast<T>(4 * (num_rows_ + 1));
    if (!AllUsable(weights, num_rows_ * num_columns_, limit)) {
      status = Status::kNonFinite;
    } else {
      const int64_t num_free = Bidding();
      for (int64_t k = 0; k < num_free && status == Status::kOk; ++k) status = Augment(free_rows_[k]);
    }
    if (status == Status::kOk) {
      for (int64_t i = 0; i < num_rows_; ++i) {
        const int32_t j = column_of_row[i];
        const double profit = Weight(i, j) - price_[j];
        row_price[i] = static_cast<T>(allow_unmatched ? internal::Max(profit, 0.0) : profit);
        if (allow_unmatched && !(weights[i * num_columns_ + j] > 0)) {
          column_of_row[i] = -1;
          row_of_column[j] = -1;
        }
      }
      for (int64_t j = 0; j < num_columns_; ++j) column_price[j] = static_cast<T>(price_[j]);
    } else {
      std::fill_n(column_of_row, num_rows_, -1);
      std::fill_n(row_of_column, num_columns_, -1);
      std::fill_n(row_price, num_rows_, std::numeric_limits<T>::quiet_NaN());
      std::fill_n(column_price, num_columns_, std::numeric_limits<T>::quiet_NaN());
    }
    return status;
  }

 private:
  const T* Row(int64_t i) const { return weights_ + i * num_columns_; }
  double Weight(int64_t i, int64_t j) const { return internal::Max(Row(i)[j], floor_); }

  // Augmenting row reduction: each free row takes its best column; if another row holds it, the price rises until the
  // second-best column is as good, and the other row is free again. Every pair stays tight and every price feasible, so
  // it may stop at any point; fills free_rows_ with what is left and returns how many.
  int64_t Bidding() {
    int64_t num_free = 0;
    int64_t steps = kBidsPerRow * num_rows_;
    for (int64_t k = 0; k < num_rows_; ++k) {
      int64_t i = k;
      while (i >= 0) {
        const Bid bid = BestTwo(Row(i), price_.data(), num_columns_, floor_);
        const bool strict = bid.best > bid.second;
        int64_t j = bid.column;
        if (!strict && row_of_column_[j] >= 0) j = bid.second_column;
        // A row with one possible column has no finite bid, and a bid of zero could go round in circles.
        const bool can_take = bid.second > -kInfinity && (row_of_column_[j] < 0 || (strict && --steps >= 0));
        if (!can_take) {
          free_rows_[num_free++] = i;
          break;
        }
        const int32_t previous = row_of_column_[j];
        if (previous >= 0) {
          price_[j] += bid.best - bid.second;
          column_of_row_[previous] = -1;
        }
        row_of_column_[j] = static_cast<int32_t>(i);
        column_of_row_[i] = static_cast<int32_t>(j);
        i = previous;
      }
    }
    return num_free;
  }

  // Dijkstra's algorithm in the reduced costs u_i + p_j - w_ij from a free row to the nearest free column.
  Status Augment(int64_t start) {
    std::copy(price_.begin(), price_.end(), open_price_.begin());
    std::fill(distance_.begin(), distance_.end(), kInfinity);
    tree_.clear();
    int64_t i = start;
    int64_t j = -1;
    double offset = 0;  // distance of row i, up to a constant that the dual update does not need
    double nearest = 0;
    while (true) {
      nearest =
          Relax(Row(i), open_price_.data(), num_columns_, floor_, offset, i, distance_.data(), predecessor_.data());
      if (nearest == kInfinity) return Status::kInfeasible;
      j = Nearest(distance_.data(), row_of_column_, num_columns_, nearest);
      if (row_of_column_[j] < 0) break;
      tree_.push_back({j, nearest});
      open_price_[j] = kInfinity;
      distance_[j] = kInfinity;
      i = row_of_column_[j];
      offset = nearest - (price_[j] - Weight(i, j));
    }
    for (const TreeColumn& column : tree_) price_[column.index] += nearest - column.distance;
    while (j >= 0) {
      i = predecessor_[j];
      row_of_column_[j] = static_cast<int32_t>(i);
      const int32_t next = column_of_row_[i];
      column_of_row_[i] = static_cast<int32_t>(j);
      j = next;
    }
    return Status::kOk;
  }

  // After this many bids Augment takes over: unbounded bidding can raise prices in tiny steps.
  static constexpr int64_t kBidsPerRow = 8;

  struct TreeColumn {
    int64_t index;
    double distance;
  };

  const int64_t num_rows_;
  const int64_t num_columns_;
  const T* weights_ = nullptr;
  double floor_ = 0;
  int32_t* column_of_row_ = nullptr;
  int32_t* row_of_column_ = nullptr;
  std::vector<double> price_;
  std::vector<double> open_price_;  // price_, but +infinity for columns in the tree
  std::vector<double> distance_;
  std::vector<int64_t> predecessor_;
  std::vector<int64_t> free_rows_;
  std::vector<TreeColumn> tree_;
};

}  // namespace verax

#endif  // VERAX_LAPJV_HPP_
