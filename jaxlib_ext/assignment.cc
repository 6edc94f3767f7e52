// XLA FFI handler of exact assignment: a whole batch in one call, spread over XLA's own threads.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <vector>

#include "batch.hpp"
#include "export.hpp"
#include "extreme_prices.hpp"
#include "lapjv.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace verax {
namespace {

using IntBuffer = ffi::Buffer<ffi::S32>;
using IntResult = ffi::Result<IntBuffer>;

template <typename T>
struct Problems {
  int64_t size, num_rows, num_columns;
  bool maximize;
  bool allow_unmatched;
  PriceRule rule;
  const T* weights;
  const int32_t* warm_col_of_row;  // null without a warm start
  const T* warm_col_price;
  int32_t* col_of_row;
  int32_t* row_of_col;
  T* row_price;
  T* col_price;
  T* value;
  int32_t* status;
};

template <typename T>
class Worker {
 public:
  explicit Worker(const Problems<T>& all)
      : all_(all),
        solver_(all.num_rows, all.num_columns),
        selector_(all.num_rows, all.num_columns),
        row_price_(all.num_rows),
        col_price_(all.num_columns) {}

  void operator()(int64_t k) {
    const int64_t n = all_.num_rows, m = all_.num_columns;
    const T* weights = all_.weights + k * n * m;
    const double sign = all_.maximize ? 1.0 : -1.0;
    const bool is_warm = all_.warm_col_of_row != nullptr;
    WarmStart<T> warm{};
    if (is_warm) warm = {all_.warm_col_of_row + k * n, all_.warm_col_price + k * m};
    const Status status = solver_.Solve(weights, all_.allow_unmatched, is_warm ? &warm : nullptr, sign);
    all_.status[k] = static_cast<int32_t>(status);
    const std::vector<int32_t>& col_of_row = solver_.col_of_row();
    std::copy_n(col_of_row.begin(), n, all_.col_of_row + k * n);
    std::copy_n(solver_.row_of_col().begin(), m, all_.row_of_col + k * m);
    if (status != Status::kOk) {
      constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
      std::fill_n(all_.row_price + k * n, n, kNan);
      std::fill_n(all_.col_price + k * m, m, kNan);
      all_.value[k] = kNan;
      return;
    }
    double total = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      const int32_t j = col_of_row[i];
      if (j >= 0) total += static_cast<double>(weights[i * m + j]);
      row_price_[i] = solver_.RowPrice(i);
    }
    all_.value[k] = static_cast<T>(total);
    std::copy_n(solver_.col_price().begin(), m, col_price_.begin());
    if (all_.rule != PriceRule::kAny && !all_.maximize) {
      negative_.resize(n * m);
      std::transform(weights, weights + n * m, negative_.begin(), [](T w) { return -w; });
      weights = negative_.data();
    }
    selector_.Select(all_.rule, weights, col_of_row.data(), solver_.row_of_col().data(), row_price_.data(),
                     col_price_.data());
    for (int64_t i = 0; i < n; ++i) all_.row_price[k * n + i] = static_cast<T>(row_price_[i]);
    for (int64_t j = 0; j < m; ++j) all_.col_price[k * m + j] = static_cast<T>(col_price_[j]);
  }

 private:
  const Problems<T>& all_;
  AssignmentSolver<T> solver_;
  PriceSelector<T> selector_;
  std::vector<T> negative_;
  std::vector<double> row_price_;
  std::vector<double> col_price_;
};

template <ffi::DataType dtype>
ffi::Error Dispatch(ffi::ThreadPool& pool, bool maximize, bool allow_unmatched, PriceRule rule, ffi::AnyBuffer& weights,
                    IntBuffer& warm_col_of_row, ffi::AnyBuffer& warm_col_price, IntResult& col_of_row,
                    IntResult& row_of_col, ffi::Result<ffi::AnyBuffer>& row_price,
                    ffi::Result<ffi::AnyBuffer>& col_price, ffi::Result<ffi::AnyBuffer>& value, IntResult& status) {
  using T = ffi::NativeType<dtype>;
  const auto shape = weights.dimensions();
  const size_t rank = shape.size();
  const bool warm = warm_col_price.element_count() > 0;
  Problems<T> problems;
  problems.size = static_cast<int64_t>(status->element_count());
  problems.num_rows = shape[rank - 2];
  problems.num_columns = shape[rank - 1];
  problems.maximize = maximize;
  problems.allow_unmatched = allow_unmatched;
  problems.rule = rule;
  problems.weights = weights.typed_data<T>();
  problems.warm_col_of_row = warm ? warm_col_of_row.typed_data() : nullptr;
  problems.warm_col_price = warm ? warm_col_price.typed_data<T>() : nullptr;
  problems.col_of_row = col_of_row->typed_data();
  problems.row_of_col = row_of_col->typed_data();
  problems.row_price = row_price->template typed_data<T>();
  problems.col_price = col_price->template typed_data<T>();
  problems.value = value->template typed_data<T>();
  problems.status = status->typed_data();
  if (problems.size == 0) return ffi::Error::Success();
  auto batch = std::make_shared<Batch<Problems<T>, Worker<T>>>(problems);
  const bool finished = batch->Run(pool, problems.size * problems.num_rows * problems.num_columns);
  return finished ? ffi::Error::Success() : ffi::Error(ffi::ErrorCode::kResourceExhausted, "assignment: out of memory");
}

ffi::Error Assignment(ffi::ThreadPool pool, bool maximize, bool allow_unmatched, int32_t rule, ffi::AnyBuffer weights,
                      IntBuffer warm_col_of_row, ffi::AnyBuffer warm_col_price, IntResult col_of_row,
                      IntResult row_of_col, ffi::Result<ffi::AnyBuffer> row_price,
                      ffi::Result<ffi::AnyBuffer> col_price, ffi::Result<ffi::AnyBuffer> value, IntResult status) {
  try {
    const auto shape = weights.dimensions();
    const size_t rank = shape.size();
    if (rank < 2 || shape[rank - 2] < 1 || shape[rank - 2] > shape[rank - 1]) {
      return ffi::Error::InvalidArgument("assignment: weights must be [..., n, m] with 1 <= n <= m");
    }
    const size_t batch = status->element_count();
    const size_t n = static_cast<size_t>(shape[rank - 2]);
    const size_t m = static_cast<size_t>(shape[rank - 1]);
    if (weights.element_count() != batch * n * m || col_of_row->element_count() != batch * n ||
        row_of_col->element_count() != batch * m || row_price->element_count() != batch * n ||
        col_price->element_count() != batch * m || row_price->element_type() != weights.element_type() ||
        col_price->element_type() != weights.element_type() || value->element_count() != batch ||
        value->element_type() != weights.element_type()) {
      return ffi::Error::InvalidArgument("assignment: results do not fit the shape and type of weights");
    }
    const size_t warm_rows = warm_col_of_row.element_count(), warm_columns = warm_col_price.element_count();
    const bool cold = warm_rows == 0 && warm_columns == 0;
    if (!(cold || (warm_rows == batch * n && warm_columns == batch * m)) ||
        warm_col_price.element_type() != weights.element_type()) {
      return ffi::Error::InvalidArgument("assignment: the warm start does not fit the shape and type of weights");
    }
    if (rule < 0 || rule > 3 || (rule != 0 && !allow_unmatched)) {
      return ffi::Error::InvalidArgument("assignment: no such price rule");
    }
    const auto chosen = static_cast<PriceRule>(rule);
    switch (weights.element_type()) {
      case ffi::F32:
        return Dispatch<ffi::F32>(pool, maximize, allow_unmatched, chosen, weights, warm_col_of_row, warm_col_price,
                                  col_of_row, row_of_col, row_price, col_price, value, status);
      case ffi::F64:
        return Dispatch<ffi::F64>(pool, maximize, allow_unmatched, chosen, weights, warm_col_of_row, warm_col_price,
                                  col_of_row, row_of_col, row_price, col_price, value, status);
      default:
        return ffi::Error::InvalidArgument("assignment: weights must be float32 or float64");
    }
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  } catch (...) {
    return ffi::Error::Internal("assignment: unknown exception");
  }
}

}  // namespace
}  // namespace verax

extern "C" VERAX_EXPORT XLA_FFI_Error* verax_assignment(XLA_FFI_CallFrame* call_frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(verax_assignment, verax::Assignment,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Attr<bool>("maximize")
                                  .Attr<bool>("allow_unmatched")
                                  .Attr<int32_t>("rule")                     // a PriceRule
                                  .Arg<xla::ffi::AnyBuffer>()                // weights [..., n, m]
                                  .Arg<xla::ffi::Buffer<xla::ffi::S32>>()    // warm col_of_row [..., n] or [..., 0]
                                  .Arg<xla::ffi::AnyBuffer>()                // warm col_price [..., m] or [..., 0]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>()    // col_of_row [..., n]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>()    // row_of_col [..., m]
                                  .Ret<xla::ffi::AnyBuffer>()                // row_price [..., n]
                                  .Ret<xla::ffi::AnyBuffer>()                // col_price [..., m]
                                  .Ret<xla::ffi::AnyBuffer>()                // value [...]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>());  // status [...]
