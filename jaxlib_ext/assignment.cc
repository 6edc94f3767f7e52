// XLA FFI handler of exact assignment: a whole batch in one call, spread over XLA's own threads.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>

#include "export.hpp"
#include "lapjv.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace verax {
namespace {

using IntResult = ffi::Result<ffi::Buffer<ffi::S32>>;

// Problems of one batch, handed out one at a time. A scheduled task may start after the batch is finished, when the
// buffers are gone, so it owns this object and touches the buffers only after it has been given a problem.
template <typename T>
struct Batch {
  int64_t size, num_rows, num_columns;
  bool allow_unmatched;
  const T* weights;
  int32_t* column_of_row;
  int32_t* row_of_column;
  T* row_price;
  T* column_price;
  int32_t* status;

  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::condition_variable all_done;
  int64_t num_done = 0;
  bool failed = false;

  // Never throws: an exception must not cross into XLA.
  void Work() noexcept {
    int64_t done = 0;
    bool ok = true;
    int64_t k = next.fetch_add(1);
    if (k >= size) return;
    try {
      AssignmentSolver<T> solver(num_rows, num_columns);
      for (; k < size; k = next.fetch_add(1)) {
        ++done;
        status[k] = static_cast<int32_t>(solver.Solve(weights + k * num_rows * num_columns, allow_unmatched,
                                                      column_of_row + k * num_rows, row_of_column + k * num_columns,
                                                      row_price + k * num_rows, column_price + k * num_columns));
      }
    } catch (...) {  // out of memory: the call fails, and nobody may wait for the problems that are left
      ok = false;
      if (done == 0) done = 1;
      while (next.fetch_add(1) < size) ++done;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    num_done += done;
    failed = failed || !ok;
    if (num_done == size) all_done.notify_all();
  }
};

template <typename T>
bool SolveBatch(const std::shared_ptr<Batch<T>>& batch, ffi::ThreadPool& pool) {
  // Waking a thread costs some microseconds, so a helper must have more than that to do.
  constexpr int64_t kEntriesWorthAThread = 16384;
  const int64_t entries = batch->size * batch->num_rows * batch->num_columns;
  const int64_t helpers = std::min({batch->size, pool.num_threads(), entries / kEntriesWorthAThread + 1}) - 1;
  try {
    for (int64_t k = 0; k < helpers; ++k) pool.Schedule([batch] { batch->Work(); });
  } catch (...) {  // no memory for a task: fewer helpers
  }
  // The calling thread works too and waits only for problems that a running thread has taken: no deadlock, even where
  // every thread of the pool is busy with calls such as this one.
  batch->Work();
  std::unique_lock<std::mutex> lock(batch->mutex);
  batch->all_done.wait(lock, [&] { return batch->num_done == batch->size; });
  return !batch->failed;
}

template <ffi::DataType dtype>
ffi::Error Dispatch(ffi::ThreadPool& pool, bool allow_unmatched, ffi::AnyBuffer& weights, IntResult& column_of_row,
                    IntResult& row_of_column, ffi::Result<ffi::AnyBuffer>& row_price,
                    ffi::Result<ffi::AnyBuffer>& column_price, IntResult& status) {
  using T = ffi::NativeType<dtype>;
  const auto shape = weights.dimensions();
  const size_t rank = shape.size();
  auto batch = std::make_shared<Batch<T>>();
  batch->size = static_cast<int64_t>(status->element_count());
  batch->num_rows = shape[rank - 2];
  batch->num_columns = shape[rank - 1];
  batch->allow_unmatched = allow_unmatched;
  batch->weights = weights.typed_data<T>();
  batch->column_of_row = column_of_row->typed_data();
  batch->row_of_column = row_of_column->typed_data();
  batch->row_price = row_price->template typed_data<T>();
  batch->column_price = column_price->template typed_data<T>();
  batch->status = status->typed_data();
  if (batch->size == 0) return ffi::Error::Success();
  if (!SolveBatch(batch, pool)) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "assignment: out of memory");
  return ffi::Error::Success();
}

ffi::Error Assignment(ffi::ThreadPool pool, bool allow_unmatched, ffi::AnyBuffer weights, IntResult column_of_row,
                      IntResult row_of_column, ffi::Result<ffi::AnyBuffer> row_price,
                      ffi::Result<ffi::AnyBuffer> column_price, IntResult status) {
  try {
    const auto shape = weights.dimensions();
    const size_t rank = shape.size();
    if (rank < 2 || shape[rank - 2] < 1 || shape[rank - 2] > shape[rank - 1]) {
      return ffi::Error::InvalidArgument("assignment: weights must be [..., n, m] with 1 <= n <= m");
    }
    const size_t batch = status->element_count();
    const size_t n = static_cast<size_t>(shape[rank - 2]);
    const size_t m = static_cast<size_t>(shape[rank - 1]);
    if (weights.element_count() != batch * n * m || column_of_row->element_count() != batch * n ||
        row_of_column->element_count() != batch * m || row_price->element_count() != batch * n ||
        column_price->element_count() != batch * m || row_price->element_type() != weights.element_type() ||
        column_price->element_type() != weights.element_type()) {
      return ffi::Error::InvalidArgument("assignment: results do not fit the shape and type of weights");
    }
    switch (weights.element_type()) {
      case ffi::F32:
        return Dispatch<ffi::F32>(pool, allow_unmatched, weights, column_of_row, row_of_column, row_price, column_price,
                                  status);
      case ffi::F64:
        return Dispatch<ffi::F64>(pool, allow_unmatched, weights, column_of_row, row_of_column, row_price, column_price,
                                  status);
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
                                  .Attr<bool>("allow_unmatched")
                                  .Arg<xla::ffi::AnyBuffer>()                // weights [..., n, m]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>()    // column_of_row [..., n]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>()    // row_of_column [..., m]
                                  .Ret<xla::ffi::AnyBuffer>()                // row_price [..., n]
                                  .Ret<xla::ffi::AnyBuffer>()                // column_price [..., m]
                                  .Ret<xla::ffi::Buffer<xla::ffi::S32>>());  // status [...]
