#ifndef TFSUPERMASK_CSRC_PARALLEL_H_
#define TFSUPERMASK_CSRC_PARALLEL_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace tfsupermask {

// The number of threads the machine runs at once, at least 1.
inline int HardwareThreads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Threads that stay for many short jobs one after another, the caller's included. A
// thread that is slow to wake up misses a job, which the others do without waiting.
class Team {
 public:
  explicit Team(int64_t num_threads) {
    helpers_.reserve(std::max<int64_t>(num_threads - 1, 0));
    for (int64_t i = 1; i < num_threads; ++i) {
      try {
        helpers_.emplace_back([this] { Help(); });
      } catch (const std::system_error&) {
        break;  // The system grants no more threads; those at hand do all the work.
      }
    }
  }

  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  ~Team() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  // Calls `work(block)` for every block in [0, num_blocks), in order by whichever
  // thread is free. The first exception stops the blocks not yet begun and is thrown
  // again here.
  void Run(int64_t num_blocks, const std::function<void(int64_t)>& work) {
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = &work;
    next_ = 0;
    num_blocks_ = num_blocks;
    if (num_blocks > 1) wake_.notify_all();
    while (next_ < num_blocks_) DoNext(lock);
    done_.wait(lock, [this] { return running_ == 0; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void Help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return ended_ || next_ < num_blocks_; });
      if (ended_) return;
      DoNext(lock);
    }
  }

  void DoNext(std::unique_lock<std::mutex>& lock) {
    const int64_t block = next_++;
    ++running_;
    lock.unlock();
    std::exception_ptr error;
    try {
      (*work_)(block);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error) next_ = num_blocks_;
    if (error && !error_) error_ = error;
    if (--running_ == 0) done_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> helpers_;
  const std::function<void(int64_t)>* work_ = nullptr;
  std::exception_ptr error_;
  int64_t next_ = 0;
  int64_t num_blocks_ = 0;
  int64_t running_ = 0;
  bool ended_ = false;
};

// Calls `work(begin, end)` for consecutive blocks of at most `block_size` that together
// cover [0, count), by a team of up to `num_threads` (0: one per core). Which thread
// runs a block must not matter.
template <typename Work>
void ParallelFor(int64_t count, int64_t block_size, int num_threads, const Work& work) {
  const int64_t num_blocks = count / block_size + (count % block_size != 0);
  const int64_t wanted = num_threads == 0 ? HardwareThreads() : num_threads;
  Team(std::min(wanted, num_blocks)).Run(num_blocks, [&](int64_t block) {
    const int64_t begin = block * block_size;
    work(begin, begin + std::min(block_size, count - begin));
  });
}

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_PARALLEL_H_
