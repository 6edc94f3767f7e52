// Rounds of MatchUCB with unstructured preferences: upper bounds, stable outcome, noisy feedback.
//
// The arithmetic is that of verax.matching.learning, in the same type and order, so that both find the same outcomes.

#ifndef VERAX_MATCH_UCB_HPP_
#define VERAX_MATCH_UCB_HPP_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "extreme_prices.hpp"
#include "lapjv.hpp"

namespace verax {

// Observations of every pair: how often, and their sums; each [n, m].
template <typename T>
struct Tally {
  T* plays;
  T* customer_sum;
  T* provider_sum;
};

template <typename T>
class MatchUcb {
 public:
  MatchUcb(int64_t num_customers, int64_t num_providers, T scale, T fee, PriceRule rule)
      : n_(num_customers),
        m_(num_providers),
        turned_(num_customers > num_providers),
        scale_(scale),
        fee_(fee),
        rule_(Turned(rule, turned_)),
        solver_(std::min(n_, m_), std::max(n_, m_)),
        selector_(std::min(n_, m_), std::max(n_, m_)),
        weights_(n_ * m_),
        row_price_(std::min(n_, m_)),
        col_price_(std::max(n_, m_)),
        warm_price_(std::max(n_, m_)),
        provider_of_(n_),
        customer_of_(m_) {}

  // Plays `rounds` rounds from the tally, which it updates. `shock` and the transfers are [rounds, n + m], [rounds, n]
  // and [rounds, m]; `log_term` is the logarithm in the widths of each round; `tie_break` breaks ties. False if no
  // outcome was found, which finite utilities rule out.
  bool Play(const T* customer_utility, const T* provider_utility, const T* tie_break, const T* shock, const T* log_term,
            int64_t rounds, const Tally<T>& tally, int32_t* match, T* customer_transfer, T* provider_transfer) {
    const int64_t small = std::min(n_, m_);
    std::vector<int32_t> warm_match(small, -1);
    for (int64_t t = 0; t < rounds; ++t) {
      const bool all = t == 0 || log_term[t] != log_term[t - 1];
      for (int64_t i = 0; i < n_; ++i) {
        if (all) {
          for (int64_t j = 0; j < m_; ++j) SetWeight(i, j, tie_break, log_term[t], tally);
        } else if (provider_of_[i] >= 0) {  // of other pairs nothing new is known
          SetWeight(i, provider_of_[i], tie_break, log_term[t], tally);
        }
      }
      const WarmStart<T> warm{warm_match.data(), warm_price_.data()};
      if (solver_.Solve(weights_.data(), true, t == 0 ? nullptr : &warm) != Status::kOk) return false;
      warm_match = solver_.col_of_row();
      for (int64_t i = 0; i < small; ++i) row_price_[i] = solver_.RowPrice(i);
      col_price_ = solver_.col_price();
      selector_.Select(rule_, weights_.data(), solver_.col_of_row().data(), solver_.row_of_col().data(),
                       row_price_.data(), col_price_.data());
      std::copy(col_price_.begin(), col_price_.end(), warm_price_.begin());
      provider_of_ = turned_ ? solver_.row_of_col() : solver_.col_of_row();
      customer_of_ = turned_ ? solver_.col_of_row() : solver_.row_of_col();
      const std::vector<double>& customer_price = turned_ ? col_price_ : row_price_;
      const std::vector<double>& provider_price = turned_ ? row_price_ : col_price_;
      for (int64_t i = 0; i < n_; ++i) {
        const int32_t j = provider_of_[i];
        match[t * n_ + i] = j;
        customer_transfer[t * n_ + i] = static_cast<T>(customer_price[i]);
        if (j < 0) continue;
        const Bounds bounds = Interval(tally.customer_sum[i * m_ + j], tally.plays[i * m_ + j], log_term[t]);
        const T upper = bounds.upper + tie_break[i * m_ + j] * (bounds.upper - bounds.lower);
        customer_transfer[t * n_ + i] -= (fee_ > 0 ? bounds.lower : upper) + fee_;
      }
      for (int64_t j = 0; j < m_; ++j) {
        const int32_t i = customer_of_[j];
        provider_transfer[t * m_ + j] = static_cast<T>(provider_price[j]);
        if (i < 0) continue;
        const Bounds bounds = Interval(tally.provider_sum[i * m_ + j], tally.plays[i * m_ + j], log_term[t]);
        provider_transfer[t * m_ + j] -= (fee_ > 0 ? bounds.lower : bounds.upper) + fee_;
      }
      for (int64_t i = 0; i < n_; ++i) {
        const int32_t j = provider_of_[i];
        if (j < 0) continue;
        const int64_t pair = i * m_ + j;
        const T* shocks = shock + t * (n_ + m_);
        tally.plays[pair] += 1;
        tally.customer_sum[pair] += customer_utility[pair] + shocks[i];
        tally.provider_sum[pair] += provider_utility[pair] + shocks[n_ + j];
      }
    }
    return true;
  }

 private:
  struct Bounds {
    T lower, upper;
  };

  static PriceRule Turned(PriceRule rule, bool turned) {
    if (turned && rule == PriceRule::kRowOptimal) return PriceRule::kColumnOptimal;
    if (turned && rule == PriceRule::kColumnOptimal) return PriceRule::kRowOptimal;
    return rule;
  }

  Bounds Interval(T sum, T plays, T log_term) const {
    const T mean = sum / std::max(plays, T(1));
    const T width = scale_ * std::sqrt(log_term / plays);
    return {std::min(std::max(mean - width, T(-1)), T(1)), std::min(std::max(mean + width, T(-1)), T(1))};
  }

  void SetWeight(int64_t i, int64_t j, const T* tie_break, T log_term, const Tally<T>& tally) {
    const int64_t pair = i * m_ + j;
    const Bounds customer = Interval(tally.customer_sum[pair], tally.plays[pair], log_term);
    const Bounds provider = Interval(tally.provider_sum[pair], tally.plays[pair], log_term);
    const T weight = customer.upper + tie_break[pair] * (customer.upper - customer.lower) + provider.upper;
    weights_[turned_ ? j * n_ + i : pair] = weight;
  }

  const int64_t n_, m_;
  const bool turned_;  // the solver wants at least as many columns as rows
  const T scale_, fee_;
  const PriceRule rule_;
  AssignmentSolver<T> solver_;
  PriceSelector<T> selector_;
  std::vector<T> weights_;
  std::vector<double> row_price_, col_price_;
  std::vector<T> warm_price_;
  std::vector<int32_t> provider_of_, customer_of_;
};

}  // namespace verax

#endif  // VERAX_MATCH_UCB_HPP_
