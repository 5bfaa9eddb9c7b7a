#ifndef TFSUPERMASK_CSRC_PARALLEL_H_
#define TFSUPERMASK_CSRC_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace tfsupermask {

// The number of threads the machine runs at once, at least 1.
inline int HardwareThreads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Calls `work(begin, end)` for consecutive blocks of at most `block_size` that together
// cover [0, count), on up to `num_threads` threads (0: one per core), the caller's
// included. Blocks are taken in order by whichever thread is free, so `work` must not
// depend on which thread runs it. The first exception that a block throws stops the
// blocks not yet begun and is thrown again here, after every thread has ended.
template <typename Work>
void ParallelFor(int64_t count, int64_t block_size, int num_threads, const Work& work) {
  const int64_t num_blocks = count / block_size + (count % block_size != 0);
  const int wanted = num_threads == 0 ? HardwareThreads() : num_threads;
  const int64_t num_helpers = std::min<int64_t>(wanted, num_blocks) - 1;

  std::atomic<int64_t> next_block{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto run = [&] {
    while (!failed) {
      const int64_t block = next_block.fetch_add(1);
      if (block >= num_blocks) return;
      const int64_t begin = block * block_size;
      try {
        work(begin, begin + std::min(block_size, count - begin));
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        failed = true;
      }
    }
  };

  std::vector<std::thread> helpers;
  helpers.reserve(std::max<int64_t>(num_helpers, 0));
  for (int64_t i = 0; i < num_helpers; ++i) {
    try {
      helpers.emplace_back(run);
    } catch (const std::system_error&) {
      break;  // The system grants no more threads; those at hand do all the blocks.
    }
  }
  run();
  for (std::thread& helper : helpers) helper.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_PARALLEL_H_
