// get, put: one artifact, to and from a file.
#include "admin_console.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"
#include "progress.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/base/stream.hpp"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace pkc::cli {

namespace {

using Done = AdminConsole::Done;

std::string target_of(const std::string& key) {
  return "/v1/artifacts/" + encode(key);
}

/// What the server stores as it was sent. In the other spaces it decides itself what lies there.
constexpr std::string_view kArtifacts = "polykit";

/// Whether the space is that of artifacts; tells what to do instead.
bool is_of_artifacts(const Invocation& invocation) {
  const std::string space = invocation.arguments.value("space").value_or(std::string(kArtifacts));
  if (space == kArtifacts) {
    return true;
  }
  print_error("polykit-cache: --space " + space + ": only artifacts are got and put by key; what " +
              "was downloaded is asked for by its URL, with GET /fetch?url=...\n");
  return false;
}

int report(const Error& error) {
  print_error("polykit-cache: " + error.message + "\n");
  return kExitFailed;
}

/// What a download came to, told to whoever asked.
int finish(const AdminConsole& console, Done done, const std::string& key) {
  if (done == Done::absent) {
    print_error("polykit-cache: there is no artifact " + key + "\n");
  }
  return done == Done::yes ? kExitOk : done == Done::absent ? kExitFailed : console.failure();
}

class Output final : public ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return print(text) == kExitOk ? Result<void>{} : fail(Errc::io, "the output failed");
  }
};

Done download(AdminConsole& console,
              const std::string& key,
              ByteSink& sink,
              TransferProgress::Shown shown) {
  TransferProgress progress(shown);
  return console.download(target_of(key), sink, progress);
}

/// Under its name only when it is complete; a file that is there is replaced.
int get_into(AdminConsole& console, const std::string& key, const std::string& path) {
  FileSystem& files = posix_file_system();
  const std::string part = path + ".part-" + std::to_string(::getpid());
  auto file = files.create(part);
  if (!file) {
    return report(file.error());
  }
  int status =
      finish(console, download(console, key, **file, TransferProgress::Shown::on_a_terminal), key);
  file->reset();
  if (status == kExitOk) {
    const auto renamed = files.rename(part, path);
    status = renamed ? kExitOk : report(renamed.error());
  }
  if (status != kExitOk) {
    // Whatever went wrong has been told.
    [[maybe_unused]] const auto ignored = files.remove(part);
  }
  return status;
}

} // namespace

int run_get(const Invocation& invocation) {
  if (!is_of_artifacts(invocation)) {
    return kExitUsage;
  }
  auto opened = AdminConsole::open(invocation, app::Use::reading);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  const auto& operands = invocation.arguments.operands;
  if (operands.size() > 1 && operands[1] != "-") {
    return get_into(console, operands[0], operands[1]);
  }
  Output output;
  // On one terminal they would be in each other's way.
  const auto shown = ::isatty(STDOUT_FILENO) == 1 ? TransferProgress::Shown::no
                                                  : TransferProgress::Shown::on_a_terminal;
  return finish(console, download(console, operands[0], output, shown), operands[0]);
}

int run_put(const Invocation& invocation) {
  if (!is_of_artifacts(invocation)) {
    return kExitUsage;
  }
  auto opened = AdminConsole::open(invocation, app::Use::changing);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  const auto& operands = invocation.arguments.operands;
  const auto file = posix_file_system().open(follow_links(operands[1]));
  if (!file || !*file) {
    return report(file ? Error{Errc::io, operands[1] + ": no such file"} : file.error());
  }
  TransferProgress progress(TransferProgress::Shown::on_a_terminal);
  return console.upload(target_of(operands[0]), **file, progress) == Done::yes
             ? print("stored " + operands[0] + "\n")
             : console.failure();
}

} // namespace pkc::cli
