// The loops of scan.hpp for packs of VERAX_LANES columns; included once for each instruction set, inside its namespace.

constexpr int kLanes = VERAX_LANES;
typedef double Pack __attribute__((vector_size(8 * kLanes)));
typedef int64_t Mask __attribute__((vector_size(8 * kLanes)));
typedef float FloatPack __attribute__((vector_size(4 * kLanes)));
typedef int32_t Rows __attribute__((vector_size(4 * kLanes)));

inline void Upper(Pack& a, const Pack& b) { a = a > b ? a : b; }

inline void Load(const double* source, Pack& pack) { std::memcpy(&pack, source, sizeof(pack)); }
inline void Load(const float* source, Pack& pack) {
  FloatPack narrow;
  std::memcpy(&narrow, source, sizeof(narrow));
  pack = __builtin_convertvector(narrow, Pack);
}
// The weights are negated on the way where a sum is minimised.
template <typename T>
inline void Load(const T* source, Pack& pack, double sign) {
  Load(source, pack);
  pack *= sign;
}
inline void Store(const Pack& pack, double* target) { std::memcpy(target, &pack, sizeof(pack)); }
inline void Fill(double value, Pack& pack) { pack = Pack{} + value; }

// Shortens the distances to all columns by the paths through `row`, which lies at distance `offset`; returns the
// nearest column, of several the one of least rank. A column that is already in the tree has price and distance
// +infinity.
template <typename T>
inline Reached Relax(const T* weight, const double* price, const double* rank, int64_t num_columns, double sign,
                     double floor, double offset, int32_t row, double* distance, int32_t* predecessor) {
  const Rows rows = Rows{} + row;
  Pack lowest, lowest_rank, low;
  Fill(kInfinity, lowest);
  Fill(kInfinity, lowest_rank);
  Fill(floor, low);
  int64_t j = 0;
  for (; j + kLanes <= num_columns; j += kLanes) {
    Pack w, p, old, order;
    Load(weight + j, w, sign);
    Load(price + j, p);
    Load(distance + j, old);
    Load(rank + j, order);
    Upper(w, low);
    const Pack reduced = (p - w) + offset;
    const Mask shorter = reduced < old;
    const Pack now = shorter ? reduced : old;
    Store(now, distance + j);
    Rows before;
    std::memcpy(&before, predecessor + j, sizeof(before));
    const Rows after = __builtin_convertvector(shorter, Rows) ? rows : before;
    std::memcpy(predecessor + j, &after, sizeof(after));
    // One comparison a choice: vector units have no masks of masks.
    const Pack tied = order < lowest_rank ? order : lowest_rank;
    const Pack kept = now > lowest ? lowest_rank : tied;
    lowest_rank = now < lowest ? order : kept;
    lowest = now < lowest ? now : lowest;
  }
  Reached reached{kInfinity, kInfinity};
  for (int k = 0; k < kLanes; ++k) reached.distance = Min(reached.distance, lowest[k]);
  for (int k = 0; k < kLanes; ++k) {
    reached.rank = Min(reached.rank, lowest[k] == reached.distance ? lowest_rank[k] : kInfinity);
  }
  for (; j < num_columns; ++j) {
    const double reduced = (price[j] - Max(sign * weight[j], floor)) + offset;
    if (reduced < distance[j]) {
      distance[j] = reduced;
      predecessor[j] = row;
    }
    const double rival = distance[j] < reached.distance ? kInfinity : reached.rank;
    if (distance[j] <= reached.distance) reached = {distance[j], Min(rank[j], rival)};
  }
  return reached;
}

// Raises each column's price to what `row` would pay, and names the row where that is more than before.
template <typename T>
inline void Raise(const T* weight, int64_t num_columns, double sign, double floor, int32_t row, double* price,
                  int32_t* buyer) {
  for (int64_t j = 0; j < num_columns; ++j) {
    const double w = Max(sign * weight[j], floor);
    buyer[j] = w > price[j] ? row : buyer[j];
    price[j] = Max(w, price[j]);
  }
}

// What a row gains in its best column at these prices.
template <typename T>
inline double Best(const T* weight, const double* price, int64_t num_columns, double sign, double floor) {
  Pack best, low;
  Fill(-kInfinity, best);
  Fill(floor, low);
  int64_t j = 0;
  for (; j + kLanes <= num_columns; j += kLanes) {
    Pack w, p;
    Load(weight + j, w, sign);
    Load(price + j, p);
    Upper(w, low);
    Upper(best, w - p);
  }
  double most = best[0];
  for (int k = 1; k < kLanes; ++k) most = Max(most, best[k]);
  for (; j < num_columns; ++j) most = Max(most, Max(sign * weight[j], floor) - price[j]);
  return most;
}

template <typename T>
inline Bid BestTwo(const T* weight, const double* price, int64_t num_columns, double sign, double floor) {
  // The columns of the best and the second best are kept beside them, as numbers, which blend as the values do.
  Pack best, second, best_at{}, second_at{}, low, at, step;
  Fill(-kInfinity, best);
  Fill(-kInfinity, second);
  Fill(-1.0, best_at);
  Fill(-1.0, second_at);
  Fill(floor, low);
  Fill(kLanes, step);
  for (int k = 0; k < kLanes; ++k) at[k] = k;
  int64_t j = 0;
  for (; j + kLanes <= num_columns; j += kLanes) {
    Pack w, p;
    Load(weight + j, w, sign);
    Load(price + j, p);
    Upper(w, low);
    const Pack profit = w - p;
    const Mask first = profit > best;
    const Mask next = profit > second;
    const Pack loser = first ? best : profit, loser_at = first ? best_at : at;
    second = next ? loser : second;
    second_at = next ? loser_at : second_at;
    best = first ? profit : best;
    best_at = first ? at : best_at;
    at += step;
  }
  Bid bid{-kInfinity, -kInfinity, -1, -1};
  auto offer = [&](double profit, int64_t column) {
    if (profit > bid.best) {
      bid.second = bid.best;
      bid.second_column = bid.column;
      bid.best = profit;
      bid.column = column;
    } else if (profit > bid.second) {
      bid.second = profit;
      bid.second_column = column;
    }
  };
  for (int k = 0; k < kLanes; ++k) {
    offer(best[k], static_cast<int64_t>(best_at[k]));
    offer(second[k], static_cast<int64_t>(second_at[k]));
  }
  for (; j < num_columns; ++j) offer(Max(sign * weight[j], floor) - price[j], j);
  return bid;
}

// The largest of the weights' absolute values, minus infinity left out; infinite if one is not a number, or infinite.
template <typename T>
inline double Largest(const T* weight, int64_t size, double sign) {
  Pack largest{}, infinity;
  Fill(kInfinity, infinity);
  int64_t bad = 0;
  Mask bad_lanes{};
  int64_t e = 0;
  for (; e + kLanes <= size; e += kLanes) {
    Pack w;
    Load(weight + e, w, sign);
    bad_lanes |= ~(w < infinity);
    const Pack positive = w < -w ? -w : w;
    const Pack finite = positive < infinity ? positive : Pack{};
    Upper(largest, finite);
  }
  double most = 0.0;
  for (int k = 0; k < kLanes; ++k) {
    most = Max(most, largest[k]);
    bad |= bad_lanes[k];
  }
  for (; e < size; ++e) {
    const double w = sign * weight[e];
    bad |= !(w < kInfinity);
    const double positive = w < 0 ? -w : w;
    if (positive < kInfinity) most = Max(most, positive);
  }
  return bad ? kInfinity : most;
}
