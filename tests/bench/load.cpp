// load: drives one HTTP server with one kind of request and prints one line of JSON.
//
//   load --port N --mode get|head|miss|put [--path /a]… [--paths FILE] [--size BYTES]
//        [--header "Name: value"] [--connections N] [--requests N] [--requests-per-connection N]
//        [--duration-ms N] [--seed N] [--address IPV4]
//
// --header goes with get, head and miss. Every answer is checked; without --size an answer may have
// any. Exit codes: 0 all were right, 1 one was not (the reason on standard
// error), 2 wrong arguments.

#include "bench/client.hpp"
#include "bench/workload.hpp"

#include <charconv>
#include <chrono>
#include <exception>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using pkc::Errc;
using pkc::fail;
using pkc::Result;

struct Arguments {
  pkc::bench::WorkloadOptions workload;
  pkc::bench::LoadOptions load;
};

Result<std::uint64_t> parse_count(std::string_view name, std::string_view text) {
  std::uint64_t count = 0;
  const char* const end = std::to_address(text.end());
  const auto [stop, error] = std::from_chars(std::to_address(text.begin()), end, count);
  if (error != std::errc{} || stop != end || text.empty()) {
    return fail(Errc::invalid_argument, std::string(name) + " needs a whole number");
  }
  return count;
}

Result<void> read_paths(const std::string& file, std::vector<std::string>& paths) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    paths.push_back(line);
  }
  if (paths.empty()) {
    return fail(Errc::invalid_argument, "no path in " + file);
  }
  return {};
}

/// Applies one option whose value is a number.
Result<void> apply_number(Arguments& arguments, std::string_view name, std::string_view value) {
  TRY_ASSIGN(const std::uint64_t number, parse_count(name, value));
  if (name == "--port" && number > 0 && number <= 65535) {
    arguments.load.port = static_cast<std::uint16_t>(number);
  } else if (name == "--size") {
    arguments.workload.size = number;
  } else if (name == "--connections" && number > 0) {
    arguments.load.connections = number;
  } else if (name == "--requests" && number > 0) {
    arguments.load.requests_max = number;
  } else if (name == "--requests-per-connection") {
    arguments.load.requests_per_connection = number;
  } else if (name == "--duration-ms") {
    arguments.load.duration = std::chrono::milliseconds(number);
  } else if (name == "--seed") {
    arguments.workload.seed = number;
  } else {
    return fail(Errc::invalid_argument, "unknown or unusable: " + std::string(name));
  }
  return {};
}

Result<void> apply(Arguments& arguments, std::string_view name, const std::string& value) {
  if (name == "--mode") {
    const auto mode = pkc::bench::parse_mode(value);
    if (!mode) {
      return fail(Errc::invalid_argument, "unknown mode " + value);
    }
    arguments.workload.mode = *mode;
    return {};
  }
  if (name == "--path") {
    arguments.workload.paths.push_back(value);
    return {};
  }
  if (name == "--paths") {
    return read_paths(value, arguments.workload.paths);
  }
  if (name == "--header") {
    arguments.workload.header = value;
    return {};
  }
  if (name == "--address") {
    arguments.load.address = value;
    return {};
  }
  return apply_number(arguments, name, value);
}

Result<Arguments> parse_arguments(std::span<char*> words) {
  if (words.size() % 2 != 0) {
    return fail(Errc::invalid_argument, "every option has a value");
  }
  Arguments arguments;
  for (std::size_t at = 0; at < words.size(); at += 2) {
    TRY(apply(arguments, words[at], words[at + 1]));
  }
  if (arguments.load.port == 0) {
    return fail(Errc::invalid_argument, "--port is needed");
  }
  arguments.workload.host = arguments.load.address + ":" + std::to_string(arguments.load.port);
  return arguments;
}

void print(const pkc::bench::LoadReport& report) {
  using Seconds = std::chrono::duration<double>;
  using Micros = std::chrono::duration<double, std::micro>;
  const double seconds = Seconds(report.elapsed).count();
  const double rate = seconds > 0 ? 1 / seconds : 0;
  std::cout << std::fixed << std::setprecision(1) << R"({"requests":)" << report.requests
            << R"(,"seconds":)" << std::setprecision(6) << seconds << std::setprecision(1)
            << R"(,"requests_per_second":)" << static_cast<double>(report.requests) * rate
            << R"(,"bytes_per_second":)" << static_cast<double>(report.body_bytes) * rate
            << R"(,"latency_median_us":)" << Micros(report.latency_median).count()
            << R"(,"latency_p99_us":)" << Micros(report.latency_p99).count() << R"(,"reconnects":)"
            << report.reconnects << "}\n";
}

int run(std::span<char*> words) {
  auto arguments = parse_arguments(words);
  if (!arguments) {
    std::cerr << "load: " << arguments.error().message << '\n';
    return 2;
  }
  auto workload = pkc::bench::Workload::make(std::move(arguments->workload));
  if (!workload) {
    std::cerr << "load: " << workload.error().message << '\n';
    return 2;
  }
  const auto report = pkc::bench::run_load(*workload, arguments->load);
  if (!report) {
    std::cerr << "load: " << report.error().message << '\n';
    return 1;
  }
  print(*report);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  try {
    return run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  } catch (const std::exception& error) {
    std::cerr << "load: " << error.what() << '\n';
    return 1;
  }
}
