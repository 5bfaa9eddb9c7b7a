// A main() for compilers without libFuzzer: replays files, then tries random changes of
// them and random bytes. Understands libFuzzer's -runs=, -seed= and -max_len=.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

std::vector<Bytes> ReadAll(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files{path};
  if (std::filesystem::is_directory(path)) {
    const std::filesystem::directory_iterator entries(path);
    files.assign(begin(entries), end(entries));
  }
  std::vector<Bytes> contents;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    contents.emplace_back(std::istreambuf_iterator<char>(in),
                          std::istreambuf_iterator<char>());
  }
  return contents;
}

Bytes Changed(Bytes bytes, size_t max_size, std::mt19937_64* random) {
  if (bytes.empty() || (*random)() % 4 == 0) {
    bytes.resize((*random)() % max_size + 1);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((*random)());
  }
  for (uint64_t changes = (*random)() % 8; changes > 0; --changes) {
    bytes[(*random)() % bytes.size()] = static_cast<uint8_t>((*random)());
  }
  if ((*random)() % 8 == 0) bytes.resize((*random)() % bytes.size() + 1);
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = 0, seed = 1, max_size = 4096;
  std::vector<Bytes> corpus;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto number = [&] {
      return std::strtoull(argument.c_str() + argument.find('=') + 1, nullptr, 10);
    };
    if (argument.rfind("-runs=", 0) == 0) {
      runs = number();
    } else if (argument.rfind("-seed=", 0) == 0) {
      seed = number();
    } else if (argument.rfind("-max_len=", 0) == 0) {
      max_size = number();
    } else if (argument[0] != '-') {
      for (Bytes& bytes : ReadAll(argument)) corpus.push_back(std::move(bytes));
    }
  }
  for (const Bytes& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  corpus.emplace_back();
  std::mt19937_64 random(seed);
  for (uint64_t run = 0; run < runs; ++run) {
    const Bytes bytes = Changed(corpus[random() % corpus.size()], max_size, &random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::fprintf(stderr, "Done %zu files and %llu runs\n", corpus.size() - 1,
               static_cast<unsigned long long>(runs));
  return 0;
}
