// Exact assignment by column reduction, bidding and shortest augmenting paths, with optimal dual prices.
//
//   maximise sum_ij w_ij x_ij,  rows sum to 1 (or at most 1), columns to at most 1,  n <= m
//   dual: minimise sum_i u_i + sum_j p_j,  u_i + p_j >= w_ij,  p >= 0 (and u >= 0 where rows may stay unmatched)
//
// Method: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
// problems", Computing 38 (1987). Their column reduction moves prices of columns that may stay unmatched, which must
// end at 0: it is used in square problems only, where one amount may be moved from all prices of columns to all of
// rows.
//
// Where rows may stay unmatched, negative weights count as 0 and every row is matched; pairs of weight <= 0 are then
// dissolved, which changes neither value nor optimality of the prices. The least column price is 0 in the end, which
// keeps u >= 0.

#ifndef VERAX_LAPJV_HPP_
#define VERAX_LAPJV_HPP_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "scan.hpp"
#include "status.hpp"

namespace verax {

// A matching and prices to start from: any numbers at all, at best those of a problem that differs little.
template <typename T>
struct WarmStart {
  const int32_t* col_of_row;
  const T* col_price;
};

// Solves problems of one size, one after the other, in memory allocated once. All loops are bounded, so that ties,
// rounding and invalid weights cannot make it hang.
template <typename T>
class AssignmentSolver {
 public:
  AssignmentSolver(int64_t num_rows, int64_t num_columns)
      : num_rows_(num_rows),
        num_columns_(num_columns),
        col_of_row_(num_rows),
        row_of_col_(num_columns),
        rank_(num_columns),
        price_(num_columns),
        open_price_(num_columns),
        distance_(num_columns),
        predecessor_(num_columns),
        free_rows_(num_rows),
        zero_row_(num_columns) {}

  // `warm` may be null; `sign` -1 minimises, with prices of the negated weights. After any other status than kOk
  // nothing is matched and the prices mean nothing.
  Status Solve(const T* weights, bool allow_unmatched, const WarmStart<T>* warm, double sign = 1.0) {
    weights_ = weights;
    sign_ = sign;
    floor_ = allow_unmatched ? 0.0 : -kInfinity;
    std::fill(col_of_row_.begin(), col_of_row_.end(), -1);
    std::fill(row_of_col_.begin(), row_of_col_.end(), -1);
    std::fill(price_.begin(), price_.end(), 0.0);

    // Prices grow to at most 2 n max|w|; beyond this limit they could overflow.
    const T limit = std::numeric_limits<T>::max() / static_cast<T>(4 * (num_rows_ + 1));
    const double largest = Largest(weights, num_rows_ * num_columns_, sign);
    if (largest > static_cast<double>(limit)) return Status::kNonFinite;
    for (int64_t j = 0; j < num_columns_; ++j) rank_[j] = static_cast<double>(j);
    int64_t num_free = num_rows_;
    if (warm != nullptr) {
      num_free = StartFrom(*warm, largest);
    } else {
      for (int64_t i = 0; i < num_rows_; ++i) free_rows_[i] = i;
      if (num_rows_ == num_columns_) num_free = ReduceColumns();
      num_free = Bid(num_free);
    }
    for (int64_t k = 0; k < num_free; ++k) {
      if (!Augment(free_rows_[k])) {
        std::fill(col_of_row_.begin(), col_of_row_.end(), -1);
        std::fill(row_of_col_.begin(), row_of_col_.end(), -1);
        return Status::kInfeasible;
      }
    }
    LowerPrices(warm != nullptr);
    if (allow_unmatched) DropWorthless();
    return Status::kOk;
  }

  // -1 = unmatched.
  const std::vector<int32_t>& col_of_row() const { return col_of_row_; }
  const std::vector<int32_t>& row_of_col() const { return row_of_col_; }
  const std::vector<double>& col_price() const { return price_; }

  double RowPrice(int64_t i) const {
    const int32_t j = col_of_row_[i];
    if (j < 0) return 0.0;
    const double profit = Weight(i, j) - price_[j];
    return floor_ == 0.0 ? internal::Max(profit, 0.0) : profit;
  }

 private:
  const T* Row(int64_t i) const { return i == num_rows_ ? zero_row_.data() : weights_ + i * num_columns_; }
  double Weight(int64_t i, int64_t j) const { return internal::Max(sign_ * Row(i)[j], floor_); }

  void Assign(int64_t i, int64_t j) {
    row_of_col_[j] = static_cast<int32_t>(i);
    rank_[j] = static_cast<double>(j + num_columns_);
  }

  void Match(int64_t i, int64_t j) {
    col_of_row_[i] = static_cast<int32_t>(j);
    Assign(i, j);
  }

  // Column reduction: the price of each column is what its best row would pay; that row takes it if it is free.
  // Fills free_rows_ with those that got none and returns how many.
  int64_t ReduceColumns() {
    std::fill(price_.begin(), price_.end(), -kInfinity);
    for (int64_t i = 0; i < num_rows_; ++i) {
      Raise(Row(i), num_columns_, sign_, floor_, static_cast<int32_t>(i), price_.data(), predecessor_.data());
    }
    for (int64_t j = num_columns_ - 1; j >= 0; --j) {
      if (price_[j] == -kInfinity) {
        price_[j] = 0.0;  // a column that no row can take: no solution, as Augment will find
      } else if (col_of_row_[predecessor_[j]] < 0) {
        Match(predecessor_[j], j);
      }
    }
    int64_t num_free = 0;
    for (int64_t i = 0; i < num_rows_; ++i) {
      if (col_of_row_[i] < 0) free_rows_[num_free++] = i;
    }
    return num_free;
  }

  // Augmenting row reduction: each free row takes its best column; if another row holds it, the price rises until the
  // second-best column is as good, and the other row is free again. Every pair stays tight and every price feasible, so
  // it may stop at any point; leaves in free_rows_ those that are still free and returns how many.
  int64_t Bid(int64_t num_free) {
    int64_t left = 0;
    int64_t steps = kBidsPerRow * num_rows_;
    for (int64_t k = 0; k < num_free; ++k) {
      int64_t i = free_rows_[k];
      while (i >= 0) {
        const struct Bid bid = BestTwo(Row(i), price_.data(), num_columns_, sign_, floor_);
        const bool strict = bid.best > bid.second;
        const bool finite = bid.second > -kInfinity;  // a row with one possible column has no finite bid
        int64_t j = bid.column;
        if (finite && !strict && row_of_col_[j] >= 0) j = bid.second_column;
        // A bid of zero could go round in circles.
        if (!finite || !(row_of_col_[j] < 0 || (strict && --steps >= 0))) {
          free_rows_[left++] = i;
          break;
        }
        const int32_t previous = row_of_col_[j];
        if (strict && (previous >= 0 || num_rows_ == num_columns_)) price_[j] += bid.best - bid.second;
        if (previous >= 0) col_of_row_[previous] = -1;
        Match(i, j);
        i = previous;
      }
    }
    return left;
  }

  // Keeps what is optimal at the given prices: pairs of a column that its row likes best. Returns how many are free.
  int64_t StartFrom(const WarmStart<T>& warm, double largest) {
    // Optimal prices are no larger; much larger ones would swallow the weights' digits.
    const double bound = floor_ == 0.0 ? largest : largest * static_cast<double>(2 * (num_rows_ + 1));
    for (int64_t j = 0; j < num_columns_; ++j) {
      const double price = static_cast<double>(warm.col_price[j]);
      price_[j] = price >= 0.0 ? std::min(price, bound) : 0.0;  // NaN is 0
    }
    int64_t num_free = 0;
    for (int64_t i = 0; i < num_rows_; ++i) {
      const int32_t j = warm.col_of_row[i];
      const bool there = j >= 0 && j < num_columns_ && row_of_col_[j] < 0 && Weight(i, j) > -kInfinity;
      if (there && Best(Row(i), price_.data(), num_columns_, sign_, floor_) <= Weight(i, j) - price_[j]) {
        Match(i, j);
      } else {
        free_rows_[num_free++] = i;
      }
    }
    return num_free;
  }

  // Dijkstra's algorithm in the reduced costs u_i + p_j - w_ij from a free row to the nearest free column; the row
  // beyond the last is worth nothing to anybody. False where no column can be reached.
  bool Augment(int64_t start) {
    std::copy(price_.begin(), price_.end(), open_price_.begin());
    std::fill(distance_.begin(), distance_.end(), kInfinity);
    tree_.clear();
    int64_t i = start;
    int64_t j = -1;
    double offset = 0;  // distance of row i, up to a constant that the dual update does not need
    double nearest = 0;
    if (start == num_rows_) {  // zero rows are alike: paths through one another lead nowhere
      offset = -least_price_;
      for (int64_t k = 0; k < num_columns_; ++k) {
        if (row_of_col_[k] == num_rows_) open_price_[k] = kInfinity;
      }
    }
    while (true) {
      const Reached reached = Relax(Row(i), open_price_.data(), rank_.data(), num_columns_, sign_, floor_, offset,
                                    static_cast<int32_t>(i), distance_.data(), predecessor_.data());
      nearest = reached.distance;
      if (nearest == kInfinity) return false;
      j = static_cast<int64_t>(reached.rank);
      if (j < num_columns_) break;
      j -= num_columns_;
      tree_.push_back({j, nearest});
      open_price_[j] = kInfinity;
      distance_[j] = kInfinity;
      i = row_of_col_[j];
      offset = nearest - (price_[j] - Weight(i, j));
    }
    for (const TreeColumn& column : tree_) price_[column.index] += nearest - column.distance;
    if (start == num_rows_) {
      least_price_ += nearest;
      for (int64_t k = 0; k < num_columns_; ++k) {
        if (row_of_col_[k] == num_rows_) price_[k] = least_price_;
      }
    }
    while (j >= 0) {
      i = predecessor_[j];
      Assign(i, j);
      if (i == num_rows_) break;
      const int32_t next = col_of_row_[i];
      col_of_row_[i] = static_cast<int32_t>(j);
      j = next;
    }
    return true;
  }

  // Unmatched columns must cost nothing. After a warm start some may not: each is then given to a zero row, by
  // an augmentation like any other, so that all of them cost the same, the least; and that is taken from every price.
  void LowerPrices(bool warm) {
    if (num_rows_ < num_columns_ && !warm) return;
    least_price_ = *std::min_element(price_.begin(), price_.end());
    for (int64_t j = 0; j < num_columns_; ++j) {
      if (row_of_col_[j] < 0 && price_[j] == least_price_) Assign(num_rows_, j);
    }
    for (int64_t j = 0; j < num_columns_; ++j) {
      while (row_of_col_[j] < 0 && Augment(num_rows_)) {
      }
    }
    for (int64_t j = 0; j < num_columns_; ++j) {
      price_[j] -= least_price_;
      if (row_of_col_[j] == num_rows_) row_of_col_[j] = -1;
    }
  }

  void DropWorthless() {
    for (int64_t i = 0; i < num_rows_; ++i) {
      const int32_t j = col_of_row_[i];
      if (sign_ * Row(i)[j] > 0) continue;
      col_of_row_[i] = -1;
      row_of_col_[j] = -1;
      price_[j] = 0.0;  // it was, up to rounding
    }
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
  double sign_ = 1;
  double floor_ = 0;
  double least_price_ = 0;
  std::vector<int32_t> col_of_row_;
  std::vector<int32_t> row_of_col_;  // num_rows_ while the column is held by a zero row
  std::vector<double> rank_;         // its number, and num_columns_ more once a column is matched: free ones come first
  std::vector<double> price_;
  std::vector<double> open_price_;  // price_, but +infinity for columns in the tree
  std::vector<double> distance_;
  std::vector<int32_t> predecessor_;
  std::vector<int64_t> free_rows_;
  std::vector<T> zero_row_;
  std::vector<TreeColumn> tree_;
};

}  // namespace verax

#endif  // VERAX_LAPJV_HPP_
