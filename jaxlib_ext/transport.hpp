// Exact transport between many rows and few columns, by successive shortest paths among the columns.
//
//   minimise sum_ik c_ik x_ik,  sum_k x_ik = supply_i,  sum_i x_ik = demand_k,  x >= 0
//   dual: maximise sum_i u_i supply_i + sum_k v_k demand_k,  u_i + v_k <= c_ik
//
// Rows come one at a time. A row reaches a column that has room directly, or by moving what other rows have there to
// another column: from k to l at the cost of the cheapest row in k, the least c_il - c_ik over rows with x_ik > 0,
// which a heap for each pair of columns keeps. So the graph of a search has as many nodes as there are columns, however
// many rows there are. It is the successive shortest path algorithm (R. Ahuja, T. Magnanti, J. Orlin, "Network Flows"
// (1993), section 9.7) with rows contracted away.

#ifndef VERAX_TRANSPORT_HPP_
#define VERAX_TRANSPORT_HPP_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "scan.hpp"
#include "status.hpp"

namespace verax {

template <typename T>
class TransportSolver {
 public:
  TransportSolver(int64_t num_rows, int64_t num_columns)
      : num_rows_(num_rows),
        num_columns_(num_columns),
        amount_(num_rows * num_columns),
        room_(num_columns),
        price_(num_columns),
        distance_(num_columns),
        previous_(num_columns),
        done_(num_columns),
        heaps_(num_columns * num_columns) {}

  // After any other status than kOk the results mean nothing.
  Status Solve(const T* cost, const T* supply, const T* demand) {
    cost_ = cost;
    std::fill(amount_.begin(), amount_.end(), 0.0);
    std::fill(price_.begin(), price_.end(), 0.0);
    for (Heap& heap : heaps_) heap.clear();
    double total = 0.0, balance = 0.0;
    bool finite = true, negative = false;
    for (int64_t e = 0; e < num_rows_ * num_columns_; ++e) finite = finite && std::isfinite(cost[e]);
    for (int64_t i = 0; i < num_rows_; ++i) {
      finite = finite && std::isfinite(supply[i]);
      negative = negative || supply[i] < 0;
      total += supply[i];
    }
    for (int64_t k = 0; k < num_columns_; ++k) {
      finite = finite && std::isfinite(demand[k]);
      negative = negative || demand[k] < 0;
      room_[k] = demand[k];
      balance += demand[k];
    }
    if (!finite) return Status::kNonFinite;
    // What rounding of the given amounts can explain; the last rows and columns bear it.
    const double tolerance = total * std::numeric_limits<T>::epsilon() * (num_rows_ + num_columns_);
    if (negative || std::abs(total - balance) > tolerance) return Status::kInfeasible;

    // Each push empties a row, a column or a cell; ties could make cells come back.
    int64_t pushes = kPushesPerRow * (num_rows_ + num_columns_) * num_columns_;
    for (int64_t i = 0; i < num_rows_; ++i) {
      double left = supply[i];
      while (left > 0.0) {
        if (--pushes < 0) return Status::kIterationLimit;
        const int64_t last = Search(i);
        if (last < 0) {  // every column is full: what is left is rounding
          if (left > tolerance) return Status::kInfeasible;
          Add(i, Cheapest(i), left);
          break;
        }
        left -= Push(i, last, left);
      }
    }
    return Status::kOk;
  }

  const std::vector<double>& amount() const { return amount_; }
  const std::vector<double>& col_price() const { return price_; }
  double RowPrice(int64_t i) const { return cost_[i * num_columns_ + Cheapest(i)] - price_[Cheapest(i)]; }

 private:
  using Entry = std::pair<double, int64_t>;  // cost of a move, row
  using Heap = std::vector<Entry>;           // least cost first; rows that have left the column stay until they come up

  double Cost(int64_t i, int64_t k) const { return static_cast<double>(cost_[i * num_columns_ + k]); }

  int64_t Cheapest(int64_t i) const {
    int64_t best = 0;
    for (int64_t k = 1; k < num_columns_; ++k) {
      if (Cost(i, k) - price_[k] < Cost(i, best) - price_[best]) best = k;
    }
    return best;
  }

  // The row that moves most cheaply from column k to column l, -1 if k is empty.
  const Entry* Mover(int64_t k, int64_t l) {
    Heap& heap = heaps_[k * num_columns_ + l];
    while (!heap.empty() && amount_[heap.front().second * num_columns_ + k] <= 0.0) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<Entry>());
      heap.pop_back();
    }
    return heap.empty() ? nullptr : &heap.front();
  }

  void Add(int64_t i, int64_t k, double amount) {
    double& cell = amount_[i * num_columns_ + k];
    if (cell <= 0.0) {
      for (int64_t l = 0; l < num_columns_; ++l) {
        if (l == k) continue;
        Heap& heap = heaps_[k * num_columns_ + l];
        heap.emplace_back(Cost(i, l) - Cost(i, k), i);
        std::push_heap(heap.begin(), heap.end(), std::greater<Entry>());
      }
    }
    cell += amount;
  }

  // Dijkstra's algorithm from row i to the nearest column with room, which it returns; lowers the prices so that the
  // path costs nothing. -1 if no column has room.
  int64_t Search(int64_t i) {
    for (int64_t k = 0; k < num_columns_; ++k) {
      distance_[k] = Cost(i, k) - price_[k];
      previous_[k] = -1;
      done_[k] = 0;
    }
    for (int64_t step = 0; step < num_columns_; ++step) {
      int64_t k = -1;
      for (int64_t l = 0; l < num_columns_; ++l) {
        if (!done_[l] && (k < 0 || distance_[l] < distance_[k])) k = l;
      }
      if (room_[k] > 0.0) {
        for (int64_t l = 0; l < num_columns_; ++l) {
          if (done_[l]) price_[l] += internal::Min(distance_[l] - distance_[k], 0.0);
        }
        return k;
      }
      done_[k] = 1;
      for (int64_t l = 0; l < num_columns_; ++l) {
        if (done_[l]) continue;
        const Entry* mover = Mover(k, l);
        if (mover == nullptr) continue;
        const double through = distance_[k] + internal::Max(mover->first + price_[k] - price_[l], 0.0);
        if (through < distance_[l]) {
          distance_[l] = through;
          previous_[l] = k;
        }
      }
    }
    return -1;
  }

  // Sends as much as possible, at most `left`, along the path that ends in column `last`; returns how much.
  double Push(int64_t i, int64_t last, double left) {
    double amount = internal::Min(left, room_[last]);
    for (int64_t l = last; previous_[l] >= 0; l = previous_[l]) {
      const int64_t k = previous_[l];
      amount = internal::Min(amount, amount_[Mover(k, l)->second * num_columns_ + k]);
    }
    room_[last] -= amount;
    int64_t l = last;
    for (; previous_[l] >= 0; l = previous_[l]) {
      const int64_t k = previous_[l];
      const int64_t row = Mover(k, l)->second;
      amount_[row * num_columns_ + k] -= amount;
      Add(row, l, amount);
    }
    Add(i, l, amount);
    return amount;
  }

  static constexpr int64_t kPushesPerRow = 16;

  const int64_t num_rows_;
  const int64_t num_columns_;
  const T* cost_ = nullptr;
  std::vector<double> amount_;  // [num_rows, num_columns]
  std::vector<double> room_;
  std::vector<double> price_;
  std::vector<double> distance_;
  std::vector<int64_t> previous_;
  std::vector<char> done_;
  std::vector<Heap> heaps_;
};

}  // namespace verax

#endif  // VERAX_TRANSPORT_HPP_
