// Random and degenerate problems through the solvers, for a build with sanitizers: each answer must prove itself.
//
// usage: fuzz [number of problems] [seed]; prints the number done, and exits with 1 at the first wrong answer.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "../extreme_prices.hpp"
#include "../lapjv.hpp"
#include "../match_ucb.hpp"
#include "../transport.hpp"

namespace {

using verax::Status;

std::mt19937_64 generator;

int64_t Draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }
double Uniform() { return std::uniform_real_distribution<double>(-1.0, 1.0)(generator); }

void Require(bool condition, const char* what) {
  if (condition) return;
  std::printf("wrong: %s\n", what);
  std::exit(1);
}

// One family of entries: continuous, few values, huge and tiny, forbidden, constant, or not numbers at all.
template <typename T>
T Entry(int64_t family) {
  switch (family) {
    case 0:
      return static_cast<T>(Uniform());
    case 1:
      return static_cast<T>(Draw(-2, 2));
    case 2:
      return static_cast<T>(Uniform() * std::pow(10.0, static_cast<double>(Draw(-30, 30))));
    case 3:
      return Draw(0, 2) == 0 ? -std::numeric_limits<T>::infinity() : static_cast<T>(Uniform());
    case 4:
      return T(0.1);
    default:
      return Draw(0, 9) == 0 ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(Uniform());
  }
}

template <typename T>
void FuzzAssignment() {
  const int64_t n = Draw(1, 12), m = Draw(n, 20), family = Draw(0, 5);
  const bool allow_unmatched = Draw(0, 1) == 1;
  std::vector<T> weights(n * m);
  double largest = 0;
  for (T& w : weights) {
    w = Entry<T>(family);
    if (std::isfinite(w)) largest = std::max(largest, std::abs(static_cast<double>(w)));
  }
  verax::AssignmentSolver<T> solver(n, m);
  std::vector<int32_t> start(n);
  std::vector<T> price(m);
  for (int round = 0; round < 3; ++round) {
    verax::WarmStart<T> warm{start.data(), price.data()};
    for (int32_t& j : start) j = static_cast<int32_t>(Draw(-2, m + 1));
    for (T& p : price) p = round == 1 ? Entry<T>(Draw(0, 5)) : static_cast<T>(std::abs(Uniform()));
    const Status status = solver.Solve(weights.data(), allow_unmatched, round == 0 ? nullptr : &warm);
    if (status != Status::kOk) {
      Require(family == 5 || (status == Status::kInfeasible && !allow_unmatched), "status");
      continue;
    }
    const double tolerance = 1e-12 * largest * static_cast<double>((n + m) * (n + m)) + 1e-300;
    std::vector<double> row(n), column(solver.col_price());
    double primal = 0, dual = 0;
    std::vector<char> used(m, 0);
    for (int64_t i = 0; i < n; ++i) {
      row[i] = solver.RowPrice(i);
      dual += row[i];
      const int32_t j = solver.col_of_row()[i];
      Require(allow_unmatched || j >= 0, "a row is left out");
      if (j < 0) continue;
      Require(j < m && !used[j] && solver.row_of_col()[j] == i, "not a matching");
      used[j] = 1;
      primal += static_cast<double>(weights[i * m + j]);
    }
    for (int64_t j = 0; j < m; ++j) {
      dual += column[j];
      Require(column[j] >= -tolerance || n == m, "a negative price");
      Require(used[j] || std::abs(column[j]) <= tolerance, "an unmatched column with a price");
      for (int64_t i = 0; i < n; ++i) {
        Require(row[i] + column[j] >= static_cast<double>(weights[i * m + j]) - tolerance, "prices are not feasible");
      }
    }
    Require(std::abs(primal - dual) <= tolerance * static_cast<double>(n + m), "not optimal");
    if (!allow_unmatched) continue;
    verax::PriceSelector<T> selector(n, m);
    for (const auto rule :
         {verax::PriceRule::kRowOptimal, verax::PriceRule::kColumnOptimal, verax::PriceRule::kMidpoint}) {
      std::vector<double> r(row), c(column);
      selector.Select(rule, weights.data(), solver.col_of_row().data(), solver.row_of_col().data(), r.data(), c.data());
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < m; ++j) {
          Require(r[i] + c[j] >= static_cast<double>(weights[i * m + j]) - tolerance, "chosen prices are not feasible");
        }
      }
    }
  }
}

// Counts, amounts of very different sizes, or a few that hold nearly everything.
template <typename T>
T Amount(int64_t kind) {
  switch (kind) {
    case 0:
      return static_cast<T>(Draw(0, 3));
    case 1:
      return static_cast<T>(std::exp(12.0 * Uniform()));
    default:
      return static_cast<T>(std::pow(std::abs(Uniform()), 40.0));
  }
}

template <typename T>
void FuzzTransport() {
  const int64_t n = Draw(1, 15), m = Draw(1, 6), family = Draw(0, 5), kind = Draw(0, 2);
  std::vector<T> cost(n * m), supply(n), demand(m);
  double largest = 0;
  for (T& c : cost) {
    c = Entry<T>(family);
    if (family == 3) c = -c;  // minus infinity forbids an assignment, plus infinity a route
    if (std::isfinite(c)) largest = std::max(largest, std::abs(static_cast<double>(c)));
  }
  double total = 0, balance = 0;
  for (T& s : supply) total += static_cast<double>(s = Amount<T>(kind));
  for (T& d : demand) balance += static_cast<double>(d = Amount<T>(kind));
  verax::TransportSolver<T> solver(n, m);
  const Status status = solver.Solve(cost.data(), supply.data(), demand.data());
  if (status != Status::kOk) {
    const bool nothing = (total > 0) != (balance > 0);
    Require(status == Status::kNonFinite ? family == 5 : status == Status::kInfeasible && (family == 3 || nothing),
            "transport status");
    return;
  }
  if (total == 0) return;
  const double tolerance = 1e-12 * (largest + 1) * static_cast<double>(n * m);
  double primal = 0, dual = 0;
  std::vector<double> received(m, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    double sent = 0;
    for (int64_t k = 0; k < m; ++k) {
      const double moved = solver.Amount(i, k), price = static_cast<double>(cost[i * m + k]);
      Require(moved >= 0, "a negative amount");
      sent += moved;
      received[k] += moved;
      if (moved > 0) primal += moved * price;
      Require(solver.RowPrice(i) + solver.ColPrice(k) <= price + tolerance, "transport prices are not feasible");
    }
    Require(std::abs(sent - static_cast<double>(supply[i])) <= 1e-12 * total, "supply");
    dual += solver.RowPrice(i) * sent;
  }
  for (int64_t k = 0; k < m; ++k) {
    // Where routes are forbidden, rounding of the amounts may be stranded.
    const double share = family == 3 ? 2e-6 : 1e-12;
    Require(std::abs(received[k] - static_cast<double>(demand[k]) * (total / balance)) <= share * total, "demand");
    dual += solver.ColPrice(k) * received[k];
  }
  Require(std::abs(primal - dual) <= tolerance * 100 * (1 + total), "transport is not optimal");
}

template <typename T>
void FuzzBandit() {
  const int64_t n = Draw(1, 5), m = Draw(1, 5), rounds = Draw(1, 40);
  std::vector<T> customer(n * m), provider(n * m), tie_break(n * m, T(1e-4)), shock(rounds * (n + m)),
      log_term(rounds, T(3));
  for (std::vector<T>* x : {&customer, &provider, &shock}) {
    for (T& value : *x) value = static_cast<T>(Uniform());
  }
  std::vector<T> tally(3 * n * m, 0), paid(rounds * n), received(rounds * m);
  std::vector<int32_t> match(rounds * n);
  verax::MatchUcb<T> bandit(n, m, T(1), T(0), verax::PriceRule::kMidpoint);
  T* plays = tally.data();
  Require(bandit.Play(customer.data(), provider.data(), tie_break.data(), shock.data(), log_term.data(), rounds,
                      {plays, plays + n * m, plays + 2 * n * m}, match.data(), paid.data(), received.data()),
          "no outcome");
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t number = argc > 1 ? std::atoll(argv[1]) : 20000;
  generator.seed(argc > 2 ? static_cast<uint64_t>(std::atoll(argv[2])) : 0);
  for (int64_t k = 0; k < number; ++k) {
    FuzzAssignment<float>();
    FuzzAssignment<double>();
    FuzzTransport<float>();
    FuzzTransport<double>();
    if (k % 10 == 0) FuzzBandit<double>();
  }
  std::printf("%lld problems of each kind\n", static_cast<long long>(number));
  return 0;
}
