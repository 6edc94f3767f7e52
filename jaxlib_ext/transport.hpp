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
//
// Amounts and costs are whole numbers of small units, so that no step rounds: a push empties a row, a column or a cell
// exactly, distances never fall, and of equally short paths the one of fewest moves is taken (J. Edmonds and R. Karp,
// "Theoretical improvements in algorithmic efficiency for network flow problems", 1972). The number of pushes is thus
// bounded whatever the sizes of the amounts. Demands are scaled to the total of the supplies. An infinite cost forbids
// a route.

#ifndef VERAX_TRANSPORT_HPP_
#define VERAX_TRANSPORT_HPP_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
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
        length_(num_rows * num_columns),
        amount_(num_rows * num_columns),
        room_(num_columns),
        price_(num_columns),
        distance_(num_columns),
        moves_(num_columns),
        previous_(num_columns),
        done_(num_columns),
        heaps_(num_columns * num_columns) {}

  // After any other status than kOk the results mean nothing.
  Status Solve(const T* cost, const T* supply, const T* demand) {
    cost_ = cost;
    std::fill(amount_.begin(), amount_.end(), 0);
    std::fill(price_.begin(), price_.end(), 0);
    for (Heap& heap : heaps_) heap.clear();
    if (!std::all_of(cost, cost + num_rows_ * num_columns_, [](T c) { return c > -kInfinity; })) {
      return Status::kNonFinite;  // NaN, or minus infinity
    }
    total_ = Total(supply, num_rows_);
    const double balance = Total(demand, num_columns_);
    if (!std::isfinite(total_) || !std::isfinite(balance)) return Status::kNonFinite;
    if (std::any_of(supply, supply + num_rows_, [](T x) { return x < 0; }) ||
        std::any_of(demand, demand + num_columns_, [](T x) { return x < 0; }) || (total_ > 0) != (balance > 0)) {
      return Status::kInfeasible;
    }
    MeasureCosts();
    if (total_ == 0) return Status::kOk;
    int64_t supplied = 0, demanded = 0;
    for (int64_t i = 0; i < num_rows_; ++i) supplied += Units(supply[i], total_);
    for (int64_t k = 0; k < num_columns_; ++k) demanded += room_[k] = Units(demand[k], balance);
    *std::max_element(room_.begin(), room_.end()) += supplied - demanded;  // rounding, of a few units per amount

    int64_t pushes = kPushesPerRow * (num_rows_ + num_columns_) * num_columns_;
    int64_t stranded = 0;
    for (int64_t i = 0; i < num_rows_; ++i) {
      int64_t left = Units(supply[i], total_);
      while (left > 0) {
        if (--pushes < 0) return Status::kIterationLimit;
        const int64_t last = Search(i);
        if (last < 0) {  // no column with room can be reached: rounding of the amounts, or no solution
          stranded += left;
          const int64_t k = Cheapest(i);
          if (Length(i, k) == kForbidden || static_cast<double>(stranded) > kUnits * kStrandedShare) {
            return Status::kInfeasible;
          }
          Add(i, k, left);
          break;
        }
        left -= Push(i, last, left);
      }
    }
    return Status::kOk;
  }

  double Amount(int64_t i, int64_t k) const {
    return static_cast<double>(amount_[i * num_columns_ + k]) / kUnits * total_;
  }
  double ColPrice(int64_t k) const { return static_cast<double>(price_[k]) * unit_cost_; }
  double RowPrice(int64_t i) const {
    double price = kInfinity;
    for (int64_t k = 0; k < num_columns_; ++k) price = internal::Min(price, Cost(i, k) - ColPrice(k));
    return price < kInfinity ? price : 0.0;  // a row with nothing to send and no route
  }

 private:
  using Entry = std::pair<int64_t, int64_t>;  // length of a move, row
  using Heap = std::vector<Entry>;            // shortest first; rows that have left the column stay until they come up

  static double Total(const T* amounts, int64_t size) {
    double total = 0.0;
    for (int64_t e = 0; e < size; ++e) total += static_cast<double>(amounts[e]);
    return total;
  }

  static int64_t Units(T amount, double total) { return std::llround(static_cast<double>(amount) / total * kUnits); }

  double Cost(int64_t i, int64_t k) const { return static_cast<double>(cost_[i * num_columns_ + k]); }
  int64_t Length(int64_t i, int64_t k) const { return length_[i * num_columns_ + k]; }

  // Costs above the least of their row, in units so small that rounding them is like rounding the largest cost to
  // double precision, and so large that paths over all columns do not overflow.
  void MeasureCosts() {
    double range = 0.0;  // halved, so that differences of huge costs do not overflow
    for (int64_t i = 0; i < num_rows_; ++i) {
      const double least = Least(i);
      for (int64_t k = 0; k < num_columns_; ++k) {
        if (Cost(i, k) < kInfinity) range = internal::Max(range, Cost(i, k) / 2 - least);
      }
    }
    int bits = 60;
    for (int64_t size = 2 * num_columns_; size > 0; size /= 2) --bits;
    const double units = std::ldexp(1.0, std::min(bits, 52));
    unit_cost_ = range / units * 2;
    for (int64_t i = 0; i < num_rows_; ++i) {
      const double least = Least(i);
      for (int64_t k = 0; k < num_columns_; ++k) {
        const double above = range > 0 ? (Cost(i, k) / 2 - least) / range : 0.0;
        length_[i * num_columns_ + k] = Cost(i, k) < kInfinity ? std::llround(above * units) : kForbidden;
      }
    }
  }

  // Half of the least cost of a row.
  double Least(int64_t i) const {
    double least = kInfinity;
    for (int64_t k = 0; k < num_columns_; ++k) least = internal::Min(least, Cost(i, k) / 2);
    return least;
  }

  int64_t Cheapest(int64_t i) const {
    int64_t best = 0;
    for (int64_t k = 1; k < num_columns_; ++k) {
      if (Length(i, k) - price_[k] < Length(i, best) - price_[best]) best = k;
    }
    return best;
  }

  // The row that moves most cheaply from column k to column l, null if none can.
  const Entry* Mover(int64_t k, int64_t l) {
    Heap& heap = heaps_[k * num_columns_ + l];
    while (!heap.empty() && amount_[heap.front().second * num_columns_ + k] <= 0) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<Entry>());
      heap.pop_back();
    }
    return heap.empty() ? nullptr : &heap.front();
  }

  void Add(int64_t i, int64_t k, int64_t amount) {
    int64_t& cell = amount_[i * num_columns_ + k];
    if (cell <= 0) {
      for (int64_t l = 0; l < num_columns_; ++l) {
        if (l == k || Length(i, l) == kForbidden) continue;
        Heap& heap = heaps_[k * num_columns_ + l];
        heap.emplace_back(Length(i, l) - Length(i, k), i);
        std::push_heap(heap.begin(), heap.end(), std::greater<Entry>());
      }
    }
    cell += amount;
  }

  // Dijkstra's algorithm from row i to the nearest column with room, which it returns; lowers the prices so that the
  // path costs nothing. -1 if no column with room can be reached.
  int64_t Search(int64_t i) {
    for (int64_t k = 0; k < num_columns_; ++k) {
      distance_[k] = Length(i, k) == kForbidden ? kForbidden : Length(i, k) - price_[k];
      moves_[k] = 0;
      previous_[k] = -1;
      done_[k] = 0;
    }
    for (int64_t step = 0; step < num_columns_; ++step) {
      int64_t k = -1;
      for (int64_t l = 0; l < num_columns_; ++l) {
        if (!done_[l] && (k < 0 || Nearer(distance_[l], moves_[l], k))) k = l;
      }
      if (distance_[k] == kForbidden) return -1;
      if (room_[k] > 0) {
        for (int64_t l = 0; l < num_columns_; ++l) {
          if (done_[l]) price_[l] += std::min<int64_t>(distance_[l] - distance_[k], 0);
        }
        return k;
      }
      done_[k] = 1;
      for (int64_t l = 0; l < num_columns_; ++l) {
        if (done_[l]) continue;
        const Entry* mover = Mover(k, l);
        if (mover == nullptr) continue;
        const int64_t through = distance_[k] + mover->first + price_[k] - price_[l];
        if (Nearer(through, moves_[k] + 1, l)) {
          distance_[l] = through;
          moves_[l] = moves_[k] + 1;
          previous_[l] = k;
        }
      }
    }
    return -1;
  }

  bool Nearer(int64_t distance, int64_t moves, int64_t than) const {
    return distance < distance_[than] || (distance == distance_[than] && moves < moves_[than]);
  }

  // Sends as much as possible, at most `left`, along the path that ends in column `last`; returns how much.
  int64_t Push(int64_t i, int64_t last, int64_t left) {
    int64_t amount = std::min(left, room_[last]);
    for (int64_t l = last; previous_[l] >= 0; l = previous_[l]) {
      const int64_t k = previous_[l];
      amount = std::min(amount, amount_[Mover(k, l)->second * num_columns_ + k]);
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
  static constexpr double kUnits = 1152921504606846976.0;  // 2^60 units of amount in the total
  static constexpr int64_t kForbidden = std::numeric_limits<int64_t>::max() / 4;
  // Share of the total that may stay where no route leads on, as rounding of the given amounts.
  static constexpr double kStrandedShare = 1e-6;

  const int64_t num_rows_;
  const int64_t num_columns_;
  const T* cost_ = nullptr;
  double total_ = 0;
  double unit_cost_ = 0;
  std::vector<int64_t> length_;  // [num_rows, num_columns], costs in units
  std::vector<int64_t> amount_;  // [num_rows, num_columns], in units
  std::vector<int64_t> room_;
  std::vector<int64_t> price_;
  std::vector<int64_t> distance_;
  std::vector<int64_t> moves_;
  std::vector<int64_t> previous_;
  std::vector<char> done_;
  std::vector<Heap> heaps_;
};

}  // namespace verax

#endif  // VERAX_TRANSPORT_HPP_
