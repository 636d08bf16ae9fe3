#include "judgement.hpp"

#include "descriptor_limit.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <string_view>
#include <utility>

namespace pkc::app {

namespace {

/// Below that not even the smallest upload is certain to find room.
constexpr ByteCount kSpaceMin = 1 * kMiB;
/// An artifact takes two files and up to two directories.
constexpr std::uint64_t kInodesMin = 4;
constexpr std::uint64_t kInodesFew = 10'000;
/// A twentieth: file systems get slow and fragmented when less is free.
constexpr std::uint64_t kShareMin = 20;
/// The server itself and a handful of clients.
constexpr std::uint64_t kDescriptorsMin = 64;
constexpr std::chrono::days kExpiresSoon{14};
constexpr std::chrono::minutes kClockSlack{2};
/// No machine that runs this program lives before its first release.
constexpr WallTime kFirstRelease = std::chrono::sys_days{std::chrono::year{2026} / 1 / 1};
constexpr std::uint16_t kFirstFreePort = 1024;

bool is_scarce(const Room& room) {
  return room.free < room.total / kShareMin;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text.append(text.empty() ? "" : ", ").append(word);
  }
  return text;
}

struct FileSystemKind {
  std::uint64_t magic; ///< of linux/magic.h or, where that lacks it, of the file system's sources
  std::string_view name;
  std::string_view worry; ///< empty: none
};

constexpr std::string_view kNetwork =
    "a network file system: a pause of the network stops the server, and what fsync and locks "
    "promise depends on the other side";
constexpr std::string_view kMemory =
    "it is in memory: every artifact is gone after a restart of the machine, and takes memory";
constexpr std::string_view kGuest =
    "a folder of another machine: slow, and what fsync and locks promise depends on the other side";
constexpr std::string_view kNoFiles = "the kernel's own: it takes no files";
constexpr std::string_view kNoCase =
    "it takes names that differ in case for the same, but keys may differ in nothing else";

constexpr std::array kFileSystems = {
    FileSystemKind{0xEF53, "ext4", ""},
    FileSystemKind{0x58465342, "xfs", ""},
    FileSystemKind{0x9123683E, "btrfs", ""},
    FileSystemKind{0x2FC12FC1, "zfs", ""},
    FileSystemKind{0xF2F52010, "f2fs", ""},
    FileSystemKind{0xCA451A4E, "bcachefs", ""},
    FileSystemKind{0x3153464A, "jfs", ""},
    FileSystemKind{0x3434, "nilfs2", ""},
    FileSystemKind{0x6969, "NFS", kNetwork},
    FileSystemKind{0x517B, "SMB", kNetwork},
    FileSystemKind{0xFF534D42, "CIFS", kNetwork},
    FileSystemKind{0xFE534D42, "SMB", kNetwork},
    FileSystemKind{0x00C36400, "Ceph", kNetwork},
    FileSystemKind{0x5346414F, "AFS", kNetwork},
    FileSystemKind{0x0BD00BD0, "Lustre", kNetwork},
    FileSystemKind{0x01161970, "GFS2", kNetwork},
    FileSystemKind{0x7461636F, "OCFS2", kNetwork},
    FileSystemKind{0x65735546,
                   "FUSE",
                   "a program stands behind it (sshfs, a cloud drive, a desktop's shared folder): "
                   "what fsync, rename and locks promise depends on that"},
    FileSystemKind{0x01021997, "9p", kGuest},
    FileSystemKind{0x786F4256, "vboxsf", kGuest},
    FileSystemKind{0xBACBACBC, "vmhgfs", kGuest},
    FileSystemKind{0x794C7630,
                   "overlay",
                   "the layer of a container: every artifact is gone with the container"},
    FileSystemKind{
        0x61756673, "aufs", "the layer of a container: every artifact is gone with the container"},
    FileSystemKind{0x01021994, "tmpfs", kMemory},
    FileSystemKind{0x858458F6, "ramfs", kMemory},
    FileSystemKind{0x9FA0, "proc", kNoFiles},
    FileSystemKind{0x62656572, "sysfs", kNoFiles},
    FileSystemKind{0x63677270, "cgroup", kNoFiles},
    FileSystemKind{0x4D44, "FAT", kNoCase},
    FileSystemKind{0x2011BAB0, "exFAT", kNoCase},
    FileSystemKind{0x5346544E, "NTFS", kNoCase},
    FileSystemKind{0x7366746E, "NTFS", kNoCase},
};

std::string hex(std::uint64_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[number % kDigits.size()]);
    number /= kDigits.size();
  } while (number != 0);
  return "0x" + text;
}

std::string not_bindable(const AddressFacts& facts) {
  switch (facts.error_number) {
    case EADDRNOTAVAIL:
      return "no network interface of this machine has the address " + facts.address;
    case EACCES:
      return "this user may not listen on " + facts.address;
    default:
      return fail_errno(facts.error_number, "cannot listen on " + facts.address).error().message;
  }
}

std::string advice_to_bind(const AddressFacts& facts) {
  switch (facts.error_number) {
    case EADDRNOTAVAIL:
      return "set --bind to an address that `ip address` shows, or to 0.0.0.0 for all of them";
    case EACCES:
      return "choose a --port from 1024 on, or let systemd open it (polykit-cache.socket), or "
             "grant CAP_NET_BIND_SERVICE";
    default:
      return "choose another --bind or --port";
  }
}

Finding judge_address_in_use(const AddressFacts& facts) {
  const std::string owners = joined(facts.owners);
  if (facts.owned_by_server || (facts.server_runs && facts.owners.empty())) {
    return {Verdict::ok,
            "address",
            facts.address + " is in use, " + (facts.owned_by_server ? "" : "most likely ") +
                "by the server that runs",
            ""};
  }
  return {Verdict::problem,
          "address",
          facts.address + " is in use by " + (owners.empty() ? "another program" : owners),
          owners.empty() ? "look for it with `ss -ltnp`, as root; stop it, or choose another --port"
                         : "stop it, or choose another --port"};
}

Finding judge_expiry(const http::TlsState& state, WallTime now) {
  const std::string named = "the certificate of " + state.subject;
  const std::string_view renew =
      "renew it; then `systemctl reload polykit-cache`, or kill -HUP, makes the server read it";
  if (state.expires && *state.expires < now) {
    return {Verdict::problem,
            "TLS",
            named + " expired at " + state.valid_until + ": no client will connect",
            std::string(renew)};
  }
  if (state.expires && *state.expires - now < kExpiresSoon) {
    const auto days = std::chrono::floor<std::chrono::days>(*state.expires - now).count();
    return {Verdict::warning,
            "TLS",
            named + " expires at " + state.valid_until + ", in " + std::to_string(days) + " days",
            std::string(renew)};
  }
  return {Verdict::ok, "TLS", named + " is valid until " + state.valid_until, ""};
}

} // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::note:
      return "note";
    case Verdict::warning:
      return "warning";
    case Verdict::problem:
      return "problem";
  }
  std::unreachable();
}

std::string about(ByteCount count) {
  constexpr std::array<std::string_view, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (count < kKiB) {
    return std::to_string(count) + " bytes";
  }
  std::size_t unit = 0;
  ByteCount tenths = count / kKiB * 10 + count % kKiB * 10 / kKiB;
  while (tenths >= 10 * kKiB && unit + 1 < kUnits.size()) {
    tenths /= kKiB;
    ++unit;
  }
  const std::string fraction = tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10);
  return std::to_string(tenths / 10) + fraction + " " + std::string(kUnits.at(unit));
}

Finding judge_space(const Room& room, ByteCount upload_max) {
  const std::string free = about(room.free) + " of " + about(room.total) + " are free";
  if (room.total == 0) {
    return {Verdict::ok, "space", "the file system does not tell how much is free", ""};
  }
  const std::string give =
      "give the file system room, or delete artifacts: any pair of .zst and "
      ".json may go at any time";
  if (room.free < kSpaceMin) {
    return {Verdict::problem, "space", "the file system is full: " + free, give};
  }
  if (room.free < upload_max) {
    return {Verdict::warning,
            "space",
            free + ", less than the largest upload that is let in (--max-size is " +
                format_byte_count(upload_max) + ")",
            give + "; or lower --max-size"};
  }
  if (is_scarce(room)) {
    return {Verdict::warning, "space", "the file system is nearly full: " + free, give};
  }
  return {Verdict::ok, "space", free, ""};
}

Finding judge_inodes(const Room& room) {
  if (room.total == 0) {
    return {Verdict::ok, "inodes", "the file system makes them as it needs them", ""};
  }
  const std::string free =
      std::to_string(room.free) + " of " + std::to_string(room.total) + " are free";
  const std::string give =
      "delete files, or make the file system anew with more inodes: an artifact takes two, and one "
      "for its directory";
  if (room.free < kInodesMin) {
    return {Verdict::problem, "inodes", free + ": nothing can be stored", give};
  }
  if (room.free < kInodesFew || is_scarce(room)) {
    return {Verdict::warning, "inodes", free, give};
  }
  return {Verdict::ok, "inodes", free, ""};
}

Finding judge_file_system(std::uint64_t magic) {
  const auto* const kind = std::ranges::find(kFileSystems, magic, &FileSystemKind::magic);
  if (kind == kFileSystems.end()) {
    return {Verdict::note, "file system", "one that is not known here, " + hex(magic), ""};
  }
  const std::string name(kind->name);
  if (kind->worry.empty()) {
    return {Verdict::ok, "file system", name, ""};
  }
  return {Verdict::warning,
          "file system",
          name + ", " + std::string(kind->worry),
          "put --storage-dir on a local disk (in a container: on a volume)"};
}

Finding judge_descriptors(const DescriptorFacts& facts) {
  const DescriptorShares wanted{.open_files = facts.open_files_max,
                                .connections = facts.connections_max};
  const DescriptorShares shares = share_descriptors(facts.limit, facts.workers_max, wanted);
  const std::string limit = "this user may open " + std::to_string(facts.limit) + " files";
  const std::string raise =
      "raise the limit to " + std::to_string(descriptors_for(facts.workers_max, wanted)) +
      ": LimitNOFILE= in the systemd unit, --ulimit nofile= of a container, `ulimit -Hn` in a "
      "shell of root";
  if (facts.limit < kDescriptorsMin) {
    return {Verdict::problem, "open files", limit + ", too few for a server", raise};
  }
  if (shares.connections < wanted.connections) {
    return {Verdict::warning,
            "open files",
            limit + ", enough for " + std::to_string(shares.connections) +
                " clients at once instead of " + std::to_string(wanted.connections),
            raise + "; or lower --max-connections"};
  }
  if (shares.open_files < wanted.open_files) {
    return {Verdict::note,
            "open files",
            limit + ", so " + std::to_string(shares.open_files) +
                " files are kept open instead of " + std::to_string(wanted.open_files),
            raise};
  }
  return {Verdict::ok, "open files", limit + ", as many as the settings need", ""};
}

Finding judge_file_size_limit(ByteCount limit, ByteCount upload_max) {
  if (limit >= upload_max) {
    return {Verdict::ok, "file size", "files may be as large as --max-size", ""};
  }
  return {Verdict::problem,
          "file size",
          "this user may write files of " + about(limit) +
              "; the kernel ends the server when an upload is larger",
          "raise the limit (`ulimit -f`, LimitFSIZE=), or lower --max-size"};
}

Finding judge_clock(const ClockFacts& facts) {
  const std::string now = format_http_date(facts.now);
  const std::string set = "set the clock, and have it kept right (systemd-timesyncd, chrony)";
  if (facts.now < kFirstRelease) {
    return {Verdict::warning,
            "clock",
            "it says " + now +
                ", which is long ago: artifacts get wrong times, and TLS does not "
                "work",
            set};
  }
  if (facts.last_change && *facts.last_change > facts.now + kClockSlack) {
    return {Verdict::warning,
            "clock",
            "it says " + now + ", but the storage directory was changed at " +
                format_http_date(*facts.last_change) + ": one of the two is wrong",
            set};
  }
  if (!facts.synchronised) {
    return {Verdict::note,
            "clock",
            "it says " + now + "; the kernel does not know of anything that keeps it right",
            ""};
  }
  return {Verdict::ok, "clock", "it says " + now, ""};
}

std::optional<Finding> judge_file_time(std::chrono::seconds ahead) {
  if (ahead <= kClockSlack && ahead >= -kClockSlack) {
    return std::nullopt;
  }
  return Finding{Verdict::warning,
                 "clock",
                 "a file written now bears a time that is " +
                     std::to_string(std::chrono::abs(ahead).count()) + " seconds " +
                     (ahead.count() > 0 ? "ahead of" : "behind") + " the clock of this machine",
                 "set the clocks of this machine and of the file server"};
}

Finding judge_address(const AddressFacts& facts) {
  if (facts.error_number == EADDRINUSE) {
    return judge_address_in_use(facts);
  }
  if (facts.error_number != 0) {
    return {Verdict::problem, "address", not_bindable(facts), advice_to_bind(facts)};
  }
  if (facts.is_root && facts.port != 0 && facts.port < kFirstFreePort) {
    return {Verdict::note,
            "address",
            facts.address + " is free, but only root may have it",
            "when the service runs as another user, " +
                advice_to_bind({.address = facts.address, .error_number = EACCES})};
  }
  if (facts.server_runs) {
    return {Verdict::note,
            "address",
            facts.address + " is free: the server that runs listens elsewhere",
            "run `polykit-cache doctor` with the flags, variables and file of that server"};
  }
  return {Verdict::ok, "address", facts.address + " is free", ""};
}

Finding judge_socket_path(const SocketPathFacts& facts) {
  const std::string name = "unix:" + facts.path;
  if (!facts.directory_exists) {
    return {Verdict::problem,
            "address",
            "there is no directory for " + name,
            "make it, for the user that runs the server (RuntimeDirectory= in a systemd unit)"};
  }
  if (!facts.state) {
    return {Verdict::problem,
            "address",
            name + ": " + facts.state.error().message,
            "choose another path"};
  }
  if (*facts.state == http::SocketPath::foreign) {
    return {Verdict::problem,
            "address",
            facts.path + " is no socket, and the server leaves it alone",
            "move it away, or choose another path"};
  }
  if (*facts.state == http::SocketPath::alive) {
    return facts.server_runs ? Finding{Verdict::ok, "address", "a server listens on " + name, ""}
                             : Finding{Verdict::problem,
                                       "address",
                                       "another server listens on " + name,
                                       "stop it, or choose another path"};
  }
  if (!facts.directory_writable) {
    return {Verdict::problem,
            "address",
            "this user may not make a file in the directory of " + name,
            "give the directory to the user that runs the server, or choose another path"};
  }
  return {Verdict::ok,
          "address",
          name + (*facts.state == http::SocketPath::stale
                      ? " was left by a server that has died, and will be replaced"
                      : " is free"),
          ""};
}

std::vector<Finding> judge_tls(const Result<http::TlsState>& state, WallTime now) {
  if (!state) {
    return {{Verdict::problem,
             "TLS",
             state.error().message,
             "repair the file, or name another in tls_cert, tls_key or tls_client_ca"}};
  }
  std::vector<Finding> findings = {judge_expiry(*state, now)};
  for (const std::string& warning : state->warnings) {
    const bool told = findings.front().verdict == Verdict::problem && warning.ends_with("expired");
    if (!told) {
      findings.push_back({Verdict::warning, "TLS", warning, ""});
    }
  }
  findings.push_back(
      state->kernel_tls
          ? Finding{Verdict::ok, "kernel TLS", "offered: files are sent without a copy", ""}
          : Finding{Verdict::note,
                    "kernel TLS",
                    "not offered by this kernel: large answers take more of the processor",
                    "`modprobe tls`, as root, if the kernel has it"});
  return findings;
}

std::optional<Finding> judge_proxies(const std::string& bind,
                                     const std::vector<std::string>& trusted_proxies) {
  const bool is_unix = bind.starts_with("unix:");
  const bool trusts_unix = std::ranges::find(trusted_proxies, "unix") != trusted_proxies.end();
  const auto is_everybody = [](const std::string& entry) { return entry.ends_with("/0"); };
  if (is_unix && !trusts_unix) {
    return Finding{Verdict::note,
                   "proxies",
                   "the peer of a Unix socket is a proxy, but it is not trusted: all its clients "
                   "count as one, with the connections of one",
                   "set --trusted-proxies unix"};
  }
  if (!is_unix && std::ranges::any_of(trusted_proxies, is_everybody)) {
    return Finding{Verdict::warning,
                   "proxies",
                   "everybody is trusted: any client may give itself any address in the log, and "
                   "has no limit of its own",
                   "name only your proxies in --trusted-proxies"};
  }
  if (!is_unix && trusts_unix && trusted_proxies.size() == 1) {
    return Finding{Verdict::note,
                   "proxies",
                   "the peers of a Unix socket are trusted, but the server listens on TCP",
                   "set --trusted-proxies to the address of the proxy, or --bind to unix:/PATH"};
  }
  return std::nullopt;
}

Finding judge_names(bool case_matters) {
  if (case_matters) {
    return {Verdict::ok, "file names", "upper and lower case are told apart", ""};
  }
  return {Verdict::problem,
          "file names",
          "upper and lower case are the same here, but two keys may differ in nothing else: one "
          "would be served for the other",
          "put --storage-dir on a file system that tells them apart"};
}

namespace {

bool stays_here(std::string_view bind) {
  return bind.starts_with("unix:") || bind.starts_with("127.") || bind == "::1" ||
         bind == "[::1]" || bind == "localhost";
}

std::string names_of(const config::AuthFile& file,
                     const std::function<bool(const config::AuthToken&)>& which) {
  std::vector<std::string> names;
  for (const config::AuthToken& token : file.tokens) {
    if (which(token)) {
      names.push_back(token.name);
    }
  }
  return joined(names);
}

/// Findings about a file that can be read.
std::vector<Finding> judge_tokens(const AuthFacts& facts, WallTime now) {
  const auto over = [&](const config::AuthToken& token) {
    return token.expires && *token.expires <= now;
  };
  const std::string expired = names_of(facts.file, over);
  const std::string soon = names_of(facts.file, [&](const config::AuthToken& token) {
    return token.expires && !over(token) && *token.expires - now < kExpiresSoon;
  });
  const bool usable = !std::ranges::all_of(facts.file.tokens, over);
  std::vector<Finding> findings;
  if (!usable && facts.file.anonymous.empty()) {
    findings.push_back(
        {Verdict::problem,
         "tokens",
         facts.path + (facts.file.tokens.empty() ? " has no token" : " has expired tokens only") +
             " and no rights for anybody without one: every request is refused",
         "`polykit-cache token create` makes one; then reload the server"});
  } else if (!expired.empty()) {
    findings.push_back({Verdict::note,
                        "tokens",
                        "expired: " + expired,
                        "`polykit-cache token revoke` takes them out of the file"});
  }
  if (!soon.empty()) {
    findings.push_back({Verdict::warning,
                        "tokens",
                        "these expire within two weeks: " + soon,
                        "make others in time, with `polykit-cache token create`"});
  }
  return findings;
}

} // namespace

std::vector<Finding> judge_auth_file(const AuthFacts& facts, WallTime now) {
  if (!facts.problems.empty()) {
    const std::size_t more = facts.problems.size() - 1;
    return {{Verdict::problem,
             "tokens",
             facts.problems.front() +
                 (more > 0 ? " (and " + std::to_string(more) + " more problems)" : ""),
             "a server does not start with it; `polykit-cache config check` tells all"}};
  }
  std::vector<Finding> findings;
  if (!facts.shut_out.empty()) {
    findings.push_back(
        {Verdict::problem,
         "tokens",
         facts.shut_out + ", who has the storage directory, may not read " + facts.path,
         "chown " + facts.shut_out + ": " + facts.path});
  }
  if (facts.everybody_reads) {
    findings.push_back({Verdict::warning,
                        "tokens",
                        "everybody on this machine may read " + facts.path +
                            ", and so who may do what, and the hashes of the tokens",
                        "chmod o-r " + facts.path});
  }
  for (Finding& finding : judge_tokens(facts, now)) {
    findings.push_back(std::move(finding));
  }
  if (findings.empty()) {
    const std::size_t count = facts.file.tokens.size();
    findings.push_back(
        {Verdict::ok,
         "tokens",
         facts.path + " has " + std::to_string(count) + (count == 1 ? " token" : " tokens"),
         ""});
  }
  return findings;
}

std::vector<Finding> judge_exposure(const ExposureFacts& facts) {
  std::vector<Finding> findings;
  const bool local = stays_here(facts.bind);
  if (!local && facts.auth_file.empty()) {
    findings.push_back({Verdict::note,
                        "tokens",
                        "everybody who reaches " + facts.bind + " may read and write",
                        "where that is too many, set --auth-file"});
  } else if (!local && !facts.tls) {
    findings.push_back({Verdict::warning,
                        "tokens",
                        "tokens travel in clear to " + facts.bind,
                        "set --tls-cert, or let a proxy that speaks TLS listen"});
  }
  if (!facts.metrics_bind.empty() && !stays_here(facts.metrics_bind)) {
    const bool careful = local || !facts.auth_file.empty();
    findings.push_back(
        {careful ? Verdict::warning : Verdict::note,
         "metrics",
         "everybody who reaches " + facts.metrics_bind +
             " sees the metrics: no token is asked for there",
         "listen at 127.0.0.1 or a Unix socket, unless a firewall stands before it"});
  }
  return findings;
}

} // namespace pkc::app
