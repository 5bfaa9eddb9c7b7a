#ifndef TFSUPERMASK_CSRC_TEAM_H_
#define TFSUPERMASK_CSRC_TEAM_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace tfsupermask {

// Threads that stay for many short jobs one after another, the caller's included. A
// thread that is slow to wake up misses a job, which the others do without waiting.
class Team {
 public:
  explicit Team(int64_t num_threads) {
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

  // Calls `work(block)`, which must not throw, for every block in [0, num_blocks).
  void Run(int64_t num_blocks, const std::function<void(int64_t)>& work) {
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = &work;
    next_ = 0;
    num_blocks_ = unfinished_ = num_blocks;
    if (num_blocks > 1) wake_.notify_all();
    while (next_ < num_blocks_) DoNext(lock);
    done_.wait(lock, [this] { return unfinished_ == 0; });
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
    lock.unlock();
    (*work_)(block);
    lock.lock();
    if (--unfinished_ == 0) done_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> helpers_;
  const std::function<void(int64_t)>* work_ = nullptr;
  int64_t next_ = 0;
  int64_t num_blocks_ = 0;
  int64_t unfinished_ = 0;
  bool ended_ = false;
};

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_TEAM_H_
