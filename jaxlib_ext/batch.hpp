// A batch of problems handed out one at a time to the calling thread and to XLA's own.

#ifndef VERAX_BATCH_HPP_
#define VERAX_BATCH_HPP_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace verax {

// `Problems` has the number of problems `size`, and `Worker(problems)` objects made by each thread, called with the
// index of a problem. A scheduled task may start after the batch is finished, when the buffers are gone, so it owns
// this object and touches the problems only after it has been given one.
template <typename Problems, typename Worker>
class Batch : public std::enable_shared_from_this<Batch<Problems, Worker>> {
 public:
  explicit Batch(const Problems& problems) : problems_(problems) {}

  // False if memory ran out. `work` is the number of entries read, about a nanosecond each.
  bool Run(::xla::ffi::ThreadPool& pool, int64_t work) {
    // Waking a thread costs some microseconds, so a helper must have more than that to do.
    constexpr int64_t kWorthAThread = 16384;
    const int64_t helpers = std::min({problems_.size, pool.num_threads(), work / kWorthAThread + 1}) - 1;
    auto self = this->shared_from_this();
    try {
      for (int64_t k = 0; k < helpers; ++k) pool.Schedule([self] { self->Work(); });
    } catch (...) {  // no memory for a task: fewer helpers
    }
    // The calling thread works too and waits only for problems that a running thread has taken: no deadlock, even
    // where every thread of the pool is busy with calls such as this one.
    Work();
    std::unique_lock<std::mutex> lock(mutex_);
    all_done_.wait(lock, [&] { return num_done_ == problems_.size; });
    return !failed_;
  }

 private:
  // Never throws: an exception must not cross into XLA.
  void Work() noexcept {
    int64_t done = 0;
    bool ok = true;
    int64_t k = next_.fetch_add(1);
    if (k >= problems_.size) return;
    try {
      Worker worker(problems_);
      for (; k < problems_.size; k = next_.fetch_add(1)) {
        ++done;
        worker(k);
      }
    } catch (...) {  // out of memory: the call fails, and nobody may wait for the problems that are left
      ok = false;
      if (done == 0) done = 1;
      while (next_.fetch_add(1) < problems_.size) ++done;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    num_done_ += done;
    failed_ = failed_ || !ok;
    if (num_done_ == problems_.size) all_done_.notify_all();
  }

  const Problems problems_;
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;
  std::condition_variable all_done_;
  int64_t num_done_ = 0;
  bool failed_ = false;
};

}  // namespace verax

#endif  // VERAX_BATCH_HPP_
