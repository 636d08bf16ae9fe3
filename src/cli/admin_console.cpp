#include "admin_console.hpp"

#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"

#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <variant>

namespace pkc::cli {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kTokenFileMax = 4096;

Result<std::unique_ptr<app::Administration>> administer(const Invocation& invocation,
                                                        const config::Settings& settings,
                                                        app::Use use) {
  const Arguments& arguments = invocation.arguments;
  const auto url = arguments.value("url");
  const auto token_file = arguments.value("token-file");
  if (!url && token_file) {
    return fail(Errc::invalid_argument, "--token-file is for a server: add --url");
  }
  if (!url) {
    return app::administer_directory(settings, use);
  }
  std::string token;
  if (token_file) {
    TRY_ASSIGN(token, read_token(*token_file));
  }
  auto server = app::administer_server({.url = *url, .token = token});
  return server ? std::move(server)
                : std::unexpected(std::move(server).error().prefixed("--url " + *url));
}

} // namespace

std::variant<AdminConsole, int> AdminConsole::open(const Invocation& invocation, app::Use use) {
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  ::signal(SIGPIPE, SIG_IGN); // a server that goes away is an answer, not the end of us
  auto administration = administer(invocation, loaded->settings, use);
  if (administration) {
    return AdminConsole(*std::move(administration), invocation.arguments.has("json"));
  }
  if (administration.error().code == Errc::invalid_argument) {
    return print_problems({administration.error().message});
  }
  print_error("polykit-cache: " + administration.error().message + "\n");
  return kExitFailed;
}

std::optional<app::AdminAnswer> AdminConsole::send(const std::string& method,
                                                   const std::string& target) {
  auto answer = administration_->ask(method, target);
  if (answer) {
    return *std::move(answer);
  }
  failure_ = kExitFailed;
  print_error("polykit-cache: " + answer.error().message + "\n");
  return std::nullopt;
}

void AdminConsole::refuse(const app::AdminAnswer& answer) {
  const auto document = ordered_json::parse(answer.body, nullptr, false);
  const bool ours =
      document.is_object() && document.contains("error") && document["error"].is_string();
  const std::string reason =
      ours ? document["error"].get<std::string>()
           : "there is no server of ours: it answers " + std::to_string(answer.status);
  failure_ = answer.status == 400 ? kExitUsage : kExitFailed;
  print_error("polykit-cache: " + reason + "\n");
}

std::optional<ordered_json> AdminConsole::ask(const std::string& method,
                                              const std::string& target) {
  const auto answer = send(method, target);
  if (!answer) {
    return std::nullopt;
  }
  auto document = ordered_json::parse(answer->body, nullptr, false);
  const bool good = answer->status == 200 || answer->status == 202;
  if (!good || !document.is_object()) {
    refuse(*answer);
    return std::nullopt;
  }
  return document;
}

AdminConsole::Done AdminConsole::tell(const std::string& method, const std::string& target) {
  const auto answer = send(method, target);
  if (!answer) {
    return Done::failed;
  }
  if (answer->status == 204) {
    return Done::yes;
  }
  if (answer->status == 404 &&
      answer->body.starts_with(R"({"error":"there is no such artifact")")) {
    return Done::absent;
  }
  refuse(*answer);
  return Done::failed;
}

AdminConsole::Done AdminConsole::judge(const Result<app::AdminAnswer>& answer, int good) {
  if (!answer) {
    failure_ = kExitFailed;
    print_error("polykit-cache: " + answer.error().message + "\n");
    return Done::failed;
  }
  if (answer->status == good) {
    return Done::yes;
  }
  if (answer->status == 404 && answer->body == R"({"error":"Artifact not found"})") {
    return Done::absent;
  }
  refuse(*answer);
  return Done::failed;
}

AdminConsole::Done AdminConsole::upload(const std::string& target,
                                        File& file,
                                        TransferProgress& progress) {
  progress.set_total(file.opened_stat().size);
  WatchedFile watched(file, progress);
  const auto answer = administration_->upload(target, watched);
  progress.clear();
  return judge(answer, 201);
}

AdminConsole::Done AdminConsole::download(const std::string& target,
                                          ByteSink& sink,
                                          TransferProgress& progress) {
  WatchedSink watched(sink, progress);
  const auto answer = administration_->download(
      target, watched, [&](ByteCount total) { progress.set_total(total); });
  progress.clear();
  return judge(answer, 200);
}

Result<std::string> read_token(const std::string& path) {
  TRY_ASSIGN(const auto file, posix_file_system().open(follow_links(path)));
  if (!file) {
    return fail(Errc::io, path + ": no such file");
  }
  std::string text(kTokenFileMax, '\0');
  TRY_ASSIGN(const std::size_t count,
             file->read_at(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  text.resize(count);
  text.resize(std::min(text.find_first_of("\r\n"), text.size()));
  if (text.empty() || std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; })) {
    return fail(Errc::io, path + ": its first line is no token");
  }
  return text;
}

std::string encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (plain) {
      encoded += c;
    } else {
      encoded.append(1, '%').append(1, kHex[byte >> 4U]).append(1, kHex[byte & 0xFU]);
    }
  }
  return encoded;
}

std::string query_of(const Arguments& arguments,
                     const std::vector<std::pair<std::string_view, std::string_view>>& names) {
  std::string query;
  for (const auto& [option, parameter] : names) {
    if (const auto value = arguments.value(option)) {
      query.append(query.empty() ? "?" : "&").append(parameter).append("=").append(encode(*value));
    }
  }
  return query;
}

std::string table_of(const std::vector<std::vector<std::string>>& rows,
                     const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size(), 0);
  for (const auto& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at) {
      widths[at] = std::max(widths[at], row[at].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t at = 0; at < row.size(); ++at) {
      const std::string blank(widths[at] - row[at].size(), ' ');
      line.append(at == 0 ? "" : "  ");
      line += right[at] ? blank + row[at] : row[at] + blank;
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

} // namespace pkc::cli
