// XLA FFI handler of rounds of MatchUCB: a whole batch of markets in one call, spread over XLA's own threads.

#include "match_ucb.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>

#include "batch.hpp"
#include "export.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace verax {
namespace {

using AnyResult = ffi::Result<ffi::AnyBuffer>;
using IntBuffer = ffi::Buffer<ffi::S32>;

template <typename T>
struct Problems {
  int64_t size, n, m, rounds;
  T scale, fee;
  PriceRule rule;
  const T *customer_utility, *provider_utility, *tie_break, *shock, *log_term;
  const int32_t* steps;
  const T* old_tally;
  T* tally;
  int32_t* match;
  T *customer_transfer, *provider_transfer;
};

template <typename T>
class Worker {
 public:
  explicit Worker(const Problems<T>& all) : all_(all), bandit_(all.n, all.m, all.scale, all.fee, all.rule) {}

  void operator()(int64_t b) {
    const int64_t n = all_.n, m = all_.m, pairs = n * m, rounds = all_.rounds;
    T* tally = all_.tally + b * 3 * pairs;
    std::copy_n(all_.old_tally + b * 3 * pairs, 3 * pairs, tally);
    int32_t* match = all_.match + b * rounds * n;
    T* customer = all_.customer_transfer + b * rounds * n;
    T* provider = all_.provider_transfer + b * rounds * m;
    const int64_t steps = std::min<int64_t>(std::max<int64_t>(all_.steps[b], 0), rounds);
    const bool ok =
        bandit_.Play(all_.customer_utility + b * pairs, all_.provider_utility + b * pairs, all_.tie_break + b * pairs,
                     all_.shock + b * rounds * (n + m), all_.log_term + b * rounds, steps,
                     {tally, tally + pairs, tally + 2 * pairs}, match, customer, provider);
    const int64_t kept = ok ? steps : 0;
    const T fill = ok ? T(0) : std::numeric_limits<T>::quiet_NaN();
    std::fill(match + kept * n, match + rounds * n, -1);
    std::fill(customer + kept * n, customer + rounds * n, fill);
    std::fill(provider + kept * m, provider + rounds * m, fill);
  }

 private:
  const Problems<T>& all_;
  MatchUcb<T> bandit_;
};

template <ffi::DataType dtype>
ffi::Error Dispatch(ffi::ThreadPool& pool, double scale, double fee, PriceRule rule, ffi::AnyBuffer& customer_utility,
                    ffi::AnyBuffer& provider_utility, ffi::AnyBuffer& tie_break, ffi::AnyBuffer& shock,
                    ffi::AnyBuffer& log_term, IntBuffer& steps, ffi::AnyBuffer& tally, AnyResult& new_tally,
                    ffi::Result<IntBuffer>& match, AnyResult& customer_transfer, AnyResult& provider_transfer) {
  using T = ffi::NativeType<dtype>;
  const auto shape = customer_utility.dimensions();
  const size_t rank = shape.size();
  Problems<T> problems;
  problems.size = static_cast<int64_t>(steps.element_count());
  problems.n = shape[rank - 2];
  problems.m = shape[rank - 1];
  problems.rounds = problems.size > 0 ? static_cast<int64_t>(log_term.element_count()) / problems.size : 0;
  problems.scale = static_cast<T>(scale);
  problems.fee = static_cast<T>(fee);
  problems.rule = rule;
  problems.customer_utility = customer_utility.typed_data<T>();
  problems.provider_utility = provider_utility.typed_data<T>();
  problems.tie_break = tie_break.typed_data<T>();
  problems.shock = shock.typed_data<T>();
  problems.log_term = log_term.typed_data<T>();
  problems.steps = steps.typed_data();
  problems.old_tally = tally.typed_data<T>();
  problems.tally = new_tally->template typed_data<T>();
  problems.match = match->typed_data();
  problems.customer_transfer = customer_transfer->template typed_data<T>();
  problems.provider_transfer = provider_transfer->template typed_data<T>();
  if (problems.size == 0) return ffi::Error::Success();
  auto batch = std::make_shared<Batch<Problems<T>, Worker<T>>>(problems);
  const bool finished = batch->Run(pool, problems.size * problems.rounds * problems.n * problems.m);
  return finished ? ffi::Error::Success() : ffi::Error(ffi::ErrorCode::kResourceExhausted, "match_ucb: out of memory");
}

ffi::Error Play(ffi::ThreadPool pool, double scale, double fee, int32_t rule, ffi::AnyBuffer customer_utility,
                ffi::AnyBuffer provider_utility, ffi::AnyBuffer tie_break, ffi::AnyBuffer shock,
                ffi::AnyBuffer log_term, IntBuffer steps, ffi::AnyBuffer tally, AnyResult new_tally,
                ffi::Result<IntBuffer> match, AnyResult customer_transfer, AnyResult provider_transfer) {
  try {
    const auto shape = customer_utility.dimensions();
    const size_t rank = shape.size();
    if (rank < 2 || shape[rank - 2] < 1 || shape[rank - 1] < 1) {
      return ffi::Error::InvalidArgument("match_ucb: utilities must be [..., n, m] with n, m >= 1");
    }
    const size_t size = steps.element_count();
    const size_t n = static_cast<size_t>(shape[rank - 2]), m = static_cast<size_t>(shape[rank - 1]);
    const size_t rounds = size > 0 ? log_term.element_count() / size : 0;
    const auto type = customer_utility.element_type();
    const bool shapes = customer_utility.element_count() == size * n * m &&
                        provider_utility.element_count() == size * n * m && tie_break.element_count() == size * n * m &&
                        shock.element_count() == size * rounds * (n + m) && log_term.element_count() == size * rounds &&
                        tally.element_count() == 3 * size * n * m && new_tally->element_count() == 3 * size * n * m &&
                        match->element_count() == size * rounds * n &&
                        customer_transfer->element_count() == size * rounds * n &&
                        provider_transfer->element_count() == size * rounds * m;
    const bool types = provider_utility.element_type() == type && tie_break.element_type() == type &&
                       shock.element_type() == type && log_term.element_type() == type &&
                       tally.element_type() == type && new_tally->element_type() == type &&
                       customer_transfer->element_type() == type && provider_transfer->element_type() == type;
    if (!shapes || !types || rule < 0 || rule > 3) {
      return ffi::Error::InvalidArgument("match_ucb: arguments and results do not fit each other");
    }
    const auto chosen = static_cast<PriceRule>(rule);
    switch (type) {
      case ffi::F32:
        return Dispatch<ffi::F32>(pool, scale, fee, chosen, customer_utility, provider_utility, tie_break, shock,
                                  log_term, steps, tally, new_tally, match, customer_transfer, provider_transfer);
      case ffi::F64:
        return Dispatch<ffi::F64>(pool, scale, fee, chosen, customer_utility, provider_utility, tie_break, shock,
                                  log_term, steps, tally, new_tally, match, customer_transfer, provider_transfer);
      default:
        return ffi::Error::InvalidArgument("match_ucb: utilities must be float32 or float64");
    }
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  } catch (...) {
    return ffi::Error::Internal("match_ucb: unknown exception");
  }
}

}  // namespace
}  // namespace verax

extern "C" VERAX_EXPORT XLA_FFI_Error* verax_match_ucb(XLA_FFI_CallFrame* call_frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(verax_match_ucb, verax::Play,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Attr<double>("scale")
                                  .Attr<double>("fee")
                                  .Attr<int32_t>("rule")                   // a PriceRule
                                  .Arg<xla::ffi::AnyBuffer>()              // customer_utility [..., n, m]
                                  .Arg<xla::ffi::AnyBuffer>()              // provider_utility [..., n, m]
                                  .Arg<xla::ffi::AnyBuffer>()              // tie_break [..., n, m]
                                  .Arg<xla::ffi::AnyBuffer>()              // shock [..., rounds, n + m]
                                  .Arg<xla::ffi::AnyBuffer>()              // log_term [..., rounds]
                                  .Arg<xla::ffi::Buffer<xla::ffi::S32>>()  // steps [...], at most rounds
                                  .Arg<xla::ffi::AnyBuffer>()              // tally [..., 3, n, m]
                                  .Ret<xla::ffi::AnyBuffer>()              // tally [..., 3, n, m]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>()  // match [..., rounds, n]
                                  .Ret<xla::ffi::AnyBuffer>()              // customer_transfer [..., rounds, n]
                                  .Ret<xla::ffi::AnyBuffer>());            // provider_transfer [..., rounds, m]
