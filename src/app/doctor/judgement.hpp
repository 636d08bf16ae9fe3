// Judgement: what facts about a machine mean for the server. Pure functions.
#pragma once

#include "pkc/app/doctor.hpp"
#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/config/auth_file.hpp"
#include "pkc/http/inspect.hpp"
#include "pkc/http/tls.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pkc::app {

/// Of bytes or inodes: what there is and what an ordinary user may still take.
struct Room {
  std::uint64_t total = 0; ///< 0: the file system does not count them
  std::uint64_t free = 0;
};

/// Bytes. `upload_max` is the largest upload that is let in.
Finding judge_space(const Room& room, ByteCount upload_max);
Finding judge_inodes(const Room& room);

/// `magic` is f_type of statfs(2).
Finding judge_file_system(std::uint64_t magic);

/// What the limit of open files allows.
struct DescriptorFacts {
  std::uint64_t limit = 0; ///< the hard one, to which the server raises its own
  std::size_t workers_max = 0;
  std::size_t open_files_max = 0;
  std::size_t connections_max = 0;
};
Finding judge_descriptors(const DescriptorFacts& facts);

/// `limit` of RLIMIT_FSIZE, in bytes.
Finding judge_file_size_limit(ByteCount limit, ByteCount upload_max);

struct ClockFacts {
  WallTime now;
  std::optional<WallTime> last_change = std::nullopt; ///< of the storage directory
  bool synchronised = true;
};
Finding judge_clock(const ClockFacts& facts);

/// Whether a file just written bears the time of the machine. Nothing when it does.
std::optional<Finding> judge_file_time(std::chrono::seconds ahead);

/// An attempt to have the address.
struct AddressFacts {
  std::string address; ///< for people
  std::uint16_t port = 0;
  int error_number = 0; ///< of bind(); 0: it can be had
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::vector<std::string> owners{}; ///< "process 12 (nginx)", as far as visible
  bool owned_by_server = false;      ///< one of them is the server of the directory
  bool server_runs = false;          ///< there is one in the directory
  bool is_root = false;
};
Finding judge_address(const AddressFacts& facts);

struct SocketPathFacts {
  std::string path;
  Result<http::SocketPath> state = http::SocketPath::free;
  bool directory_exists = true;
  bool directory_writable = true;
  bool server_runs = false; ///< in the storage directory
};
Finding judge_socket_path(const SocketPathFacts& facts);

/// What was found at the setting auth-file.
struct AuthFacts {
  std::string path;
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where it is left out otherwise
  config::Problems problems{}; ///< with the file; nothing more is known then
  config::AuthFile file{};
  /// The user of the service, when that is another one and may not read the file; else empty.
  std::string shut_out{};
  // NOLINTEND(readability-redundant-member-init)
  bool everybody_reads = false; ///< by its mode
};
/// One finding at least; the worst comes first.
std::vector<Finding> judge_auth_file(const AuthFacts& facts, WallTime now);

/// Whom an address lets in who has no token, with the settings of the server.
struct ExposureFacts {
  std::string bind;
  std::string auth_file;    ///< empty: none
  std::string metrics_bind; ///< host or unix:/PATH; empty: with all other requests
  bool tls = false;
};
std::vector<Finding> judge_exposure(const ExposureFacts& facts);

/// The certificate, then one finding for each other warning.
std::vector<Finding> judge_tls(const Result<http::TlsState>& state, WallTime now);

/// Nothing when bind and trusted proxies go together.
std::optional<Finding> judge_proxies(const std::string& bind,
                                     const std::vector<std::string>& trusted_proxies);

/// Names that `stat` finds under other letters: keys differ in case.
Finding judge_names(bool case_matters);

/// "12 bytes", "3.4 GiB".
std::string about(ByteCount count);

} // namespace pkc::app
