// XLA FFI handler of exact transport: a whole batch in one call, spread over XLA's own threads.

#include "transport.hpp"

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

template <typename T>
struct Problems {
  int64_t size, num_rows, num_columns;
  const T* cost;
  const T* supply;
  const T* demand;
  T* plan;
  T* row_price;
  T* col_price;
  int32_t* status;
};

template <typename T>
class Worker {
 public:
  explicit Worker(const Problems<T>& all) : all_(all), solver_(all.num_rows, all.num_columns) {}

  void operator()(int64_t b) {
    const int64_t n = all_.num_rows, m = all_.num_columns;
    const Status status = solver_.Solve(all_.cost + b * n * m, all_.supply + b * n, all_.demand + b * m);
    all_.status[b] = static_cast<int32_t>(status);
    const bool ok = status == Status::kOk;
    constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
    for (int64_t e = 0; e < n * m; ++e) {
      all_.plan[b * n * m + e] = ok ? static_cast<T>(solver_.Amount(e / m, e % m)) : kNan;
    }
    for (int64_t i = 0; i < n; ++i) all_.row_price[b * n + i] = ok ? static_cast<T>(solver_.RowPrice(i)) : kNan;
    for (int64_t k = 0; k < m; ++k) {
      all_.col_price[b * m + k] = ok ? static_cast<T>(solver_.ColPrice(k)) : kNan;
    }
  }

 private:
  const Problems<T>& all_;
  TransportSolver<T> solver_;
};

template <ffi::DataType dtype>
ffi::Error Dispatch(ffi::ThreadPool& pool, ffi::AnyBuffer& cost, ffi::AnyBuffer& supply, ffi::AnyBuffer& demand,
                    AnyResult& plan, AnyResult& row_price, AnyResult& col_price,
                    ffi::Result<ffi::Buffer<ffi::S32>>& status) {
  using T = ffi::NativeType<dtype>;
  const auto shape = cost.dimensions();
  const size_t rank = shape.size();
  Problems<T> problems;
  problems.size = static_cast<int64_t>(status->element_count());
  problems.num_rows = shape[rank - 2];
  problems.num_columns = shape[rank - 1];
  problems.cost = cost.typed_data<T>();
  problems.supply = supply.typed_data<T>();
  problems.demand = demand.typed_data<T>();
  problems.plan = plan->template typed_data<T>();
  problems.row_price = row_price->template typed_data<T>();
  problems.col_price = col_price->template typed_data<T>();
  problems.status = status->typed_data();
  if (problems.size == 0) return ffi::Error::Success();
  auto batch = std::make_shared<Batch<Problems<T>, Worker<T>>>(problems);
  const bool finished = batch->Run(pool, static_cast<int64_t>(cost.element_count()) * problems.num_columns);
  return finished ? ffi::Error::Success() : ffi::Error(ffi::ErrorCode::kResourceExhausted, "transport: out of memory");
}

ffi::Error Transport(ffi::ThreadPool pool, ffi::AnyBuffer cost, ffi::AnyBuffer supply, ffi::AnyBuffer demand,
                     AnyResult plan, AnyResult row_price, AnyResult col_price,
                     ffi::Result<ffi::Buffer<ffi::S32>> status) {
  try {
    const auto shape = cost.dimensions();
    const size_t rank = shape.size();
    if (rank < 2 || shape[rank - 2] < 1 || shape[rank - 1] < 1) {
      return ffi::Error::InvalidArgument("transport: cost must be [..., n, m] with n, m >= 1");
    }
    const size_t batch = status->element_count();
    const size_t n = static_cast<size_t>(shape[rank - 2]), m = static_cast<size_t>(shape[rank - 1]);
    const auto type = cost.element_type();
    if (cost.element_count() != batch * n * m || supply.element_count() != batch * n ||
        demand.element_count() != batch * m || plan->element_count() != batch * n * m ||
        row_price->element_count() != batch * n || col_price->element_count() != batch * m ||
        supply.element_type() != type || demand.element_type() != type || plan->element_type() != type ||
        row_price->element_type() != type || col_price->element_type() != type) {
      return ffi::Error::InvalidArgument("transport: amounts and results do not fit the shape and type of cost");
    }
    switch (type) {
      case ffi::F32:
        return Dispatch<ffi::F32>(pool, cost, supply, demand, plan, row_price, col_price, status);
      case ffi::F64:
        return Dispatch<ffi::F64>(pool, cost, supply, demand, plan, row_price, col_price, status);
      default:
        return ffi::Error::InvalidArgument("transport: cost must be float32 or float64");
    }
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  } catch (...) {
    return ffi::Error::Internal("transport: unknown exception");
  }
}

}  // namespace
}  // namespace verax

extern "C" VERAX_EXPORT XLA_FFI_Error* verax_transport(XLA_FFI_CallFrame* call_frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(verax_transport, verax::Transport,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<xla::ffi::AnyBuffer>()                // cost [..., n, m]
                                  .Arg<xla::ffi::AnyBuffer>()                // supply [..., n]
                                  .Arg<xla::ffi::AnyBuffer>()                // demand [..., m]
                                  .Ret<xla::ffi::AnyBuffer>()                // plan [..., n, m]
                                  .Ret<xla::ffi::AnyBuffer>()                // row_price [..., n]
                                  .Ret<xla::ffi::AnyBuffer>()                // col_price [..., m]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>());  // status [...]
