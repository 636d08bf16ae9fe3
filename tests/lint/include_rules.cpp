// Who may include whom: layers, what a layer may see of a layer, private and third-party headers.
#include "rules.hpp"
#include "source_view.hpp"
#include "tree.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::lint {
namespace {

/// "x" of src/x/… and include/pkc/x/…; nothing for a file outside the modules.
std::optional<std::string> module_of(std::string_view path) {
  for (const std::string_view base : {"src/", "include/pkc/"}) {
    if (path.starts_with(base)) {
      path.remove_prefix(base.size());
      const std::size_t slash = path.find('/');
      return slash == std::string_view::npos ? std::nullopt
                                             : std::optional<std::string>(path.substr(0, slash));
    }
  }
  return std::nullopt;
}

/// "x" of "pkc/x/y.hpp"; nothing for the generated "pkc/version.hpp" and all else.
std::optional<std::string> included_module(const Include& include) {
  return include.angled || !include.path.starts_with("pkc/") ? std::nullopt
                                                             : module_of("include/" + include.path);
}

template <typename Check>
void for_each_include(const Tree& tree, Check check) {
  for (const SourceFile& file : tree.files) {
    for (const Include& include : file.view.includes) {
      check(file, include);
    }
  }
}

void report(Findings& findings, const SourceFile& file, const Include& include, std::string text) {
  findings.push_back({file.path, include.line, std::move(text)});
}

void check_layers(const Tree& tree, Findings& findings) {
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    const auto from = module_of(file.path);
    const auto to = included_module(include);
    if (!from || !to || from == to) {
      return;
    }
    const auto row = tree.layers.find(*from);
    if (row == tree.layers.end() || !row->second.contains(*to)) {
      report(findings,
             file,
             include,
             *to + " is no direct dependency of " + *from +
                 ": name it under DEPS, or take what is needed as a parameter");
    }
  });
}

/// What a module may see of a direct dependency when that is less than all of it.
struct PartialView {
  std::string_view module;
  std::string_view of;
  std::array<std::string_view, 2> only; ///< these headers
  std::string_view instead;
};

constexpr std::array kPartialViews{
    PartialView{"store",
                "blob",
                {"pkc/blob/backend.hpp", "pkc/blob/upkeep.hpp"},
                "the store is given a Backend; which one is app's business"},
    PartialView{"store",
                "locks",
                {"pkc/locks/key_locks.hpp", ""},
                "the store is given its locks; which ones is app's business"},
};

std::string said(const std::array<std::string_view, 2>& headers) {
  const std::string_view separator = headers.back().empty() ? "" : " and ";
  return std::string(headers.front()).append(separator).append(headers.back());
}

void check_partial_views(const Tree& tree, Findings& findings) {
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    const auto from = module_of(file.path);
    const auto to = included_module(include);
    for (const PartialView& view : kPartialViews) {
      if (from == view.module && to == view.of &&
          std::ranges::find(view.only, include.path) == view.only.end()) {
        report(findings,
               file,
               include,
               std::string(view.module) + " includes " + said(view.only) +
                   " only: " + std::string(view.instead));
      }
    }
  });
}

/// Modules that hand out settings or protocols to nobody but those named.
void check_closed_modules(const Tree& tree, Findings& findings) {
  for (const auto& [module, dependencies] : tree.layers) {
    if (dependencies.contains("config") && module != "app" && module != "cli") {
      findings.push_back({"src/" + module + "/CMakeLists.txt",
                          0,
                          "config is for app and cli: take an options struct instead"});
    }
    for (const std::string_view low : {"blob", "index", "locks", "net"}) {
      if (module == "protocols" && dependencies.contains(std::string(low))) {
        findings.push_back({"src/protocols/CMakeLists.txt",
                            0,
                            "protocols see the store and upstream, not " + std::string(low) +
                                ": a missing verb belongs on the store"});
      }
    }
  }
}

/// "x" of src/protocols/x/… and of pkc/protocols/x.hpp.
std::string protocol_of(std::string_view path) {
  for (const std::string_view base :
       {"src/protocols/", "include/pkc/protocols/", "pkc/protocols/"}) {
    if (path.starts_with(base)) {
      path.remove_prefix(base.size());
      const std::size_t end = path.find_first_of("/.");
      return std::string(path.substr(0, end));
    }
  }
  return {};
}

/// Folders of src/protocols that are named for a role and serve every protocol.
bool is_shared_protocol_folder(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kShared{
      "object", "common", "protocol", "registry"};
  return std::ranges::find(kShared, name) != kShared.end();
}

void check_protocols_apart(const Tree& tree, Findings& findings) {
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    const std::string own = protocol_of(file.path);
    if (!file.is_under("src/protocols/") || is_shared_protocol_folder(own) ||
        file.path.find('/', std::string_view("src/protocols/").size()) == std::string::npos) {
      return;
    }
    std::string other = protocol_of(include.path);
    if (other.empty() && tree.find("src/protocols/" + include.path) != nullptr) {
      other = protocol_of("src/protocols/" + include.path);
    }
    if (!other.empty() && other != own && !is_shared_protocol_folder(other) &&
        tree.find("src/protocols/" + own + "/" + include.path) == nullptr) {
      report(findings,
             file,
             include,
             "protocol " + own + " reaches into " + other + ": move what both need to object/");
    }
  });
}

std::string folder_of(std::string_view path) {
  return std::string(path.substr(0, path.rfind('/') + 1));
}

/// Tests that may reach into one private header: those that say so, and fuzz targets of parsers.
bool may_reach_inside(const SourceFile& file) {
  return file.path.ends_with("_impl.cpp") || file.is_under("tests/fuzz/");
}

void check_private_headers(const Tree& tree, Findings& findings) {
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    if (include.angled || include.path.starts_with("pkc/")) {
      return;
    }
    const auto module = module_of(file.path);
    const auto exists = [&](const std::string& path) { return tree.find(path) != nullptr; };
    if (include.path.find("..") != std::string::npos) {
      report(findings, file, include, "no way up: include by the name below the module's folder");
    } else if (file.is_under("include/")) {
      report(findings, file, include, "a public header includes public headers only");
    } else if (module && !exists("src/" + *module + "/" + include.path) &&
               !exists(folder_of(file.path) + include.path)) {
      report(findings, file, include, "no private header of src/" + *module);
    } else if (file.is_under("tests/") && !exists(folder_of(file.path) + include.path) &&
               !exists("tests/" + include.path) && !may_reach_inside(file)) {
      report(findings,
             file,
             include,
             "tests use public headers; one that must reach inside is named test_<unit>_impl.cpp");
    }
  });
}

void check_public_headers_exist(const Tree& tree, Findings& findings) {
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    if (!include.angled && include.path.starts_with("pkc/") && include.path != "pkc/version.hpp" &&
        tree.find("include/" + include.path) == nullptr) {
      report(findings, file, include, "there is no such public header");
    }
  });
}

/// Where a library may be seen; everything else uses our own types.
struct Library {
  std::string_view headers; ///< prefix of the include
  std::array<std::string_view, 5> folders;
};

constexpr std::array kLibraries{
    Library{"httplib.h", {"src/http/", "src/net/"}},
    Library{"zstd", {"src/base/", "tests/"}},
    Library{"openssl/", {"src/base/", "src/net/", "src/http/", "tests/"}},
    Library{"nlohmann/", {"src/config/", "src/store/", "src/protocols/", "src/cli/", "tests/"}},
    Library{"CLI/", {"src/cli/"}},
    Library{"soci/", {"src/base/sql/"}},
    Library{"spdlog/", {"src/ops/"}},
    Library{"fmt/", {"src/ops/"}},
    Library{"yaml-cpp/", {"src/config/"}},
    Library{"toml++/", {"src/config/"}},
    Library{"doctest/", {"tests/"}},
};

bool is_system_header(std::string_view path) {
  static constexpr std::array<std::string_view, 6> kSystemFolders{
      "sys/", "netinet/", "arpa/", "linux/", "net/", "bits/"};
  return path.find('/') == std::string_view::npos ||
         std::ranges::any_of(kSystemFolders,
                             [&](std::string_view folder) { return path.starts_with(folder); });
}

void check_libraries(const Tree& tree, Findings& findings) {
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    const auto row = std::ranges::find_if(kLibraries, [&](const Library& library) {
      return include.path.starts_with(library.headers);
    });
    if (row == kLibraries.end()) {
      if (include.angled && !is_system_header(include.path)) {
        report(findings, file, include, "unknown library: add its row and its one folder to lint");
      }
      return;
    }
    const bool at_home = std::ranges::any_of(row->folders, [&](std::string_view folder) {
      return !folder.empty() && file.is_under(folder);
    });
    if (!at_home) {
      report(findings,
             file,
             include,
             include.path + " is private to " + std::string(row->folders.front()) +
                 ": use the module's own interface");
    }
  });
}

constexpr std::array kRules{
    Rule{"a module includes its direct dependencies only", check_layers},
    Rule{"a module sees of another only what it may see", check_partial_views},
    Rule{"config and the storage layers stay behind their gates", check_closed_modules},
    Rule{"no protocol includes another", check_protocols_apart},
    Rule{"private headers are included from inside their module", check_private_headers},
    Rule{"every public header that is included exists", check_public_headers_exist},
    Rule{"each library is seen in its own folder only", check_libraries},
};

} // namespace

std::span<const Rule> include_rules() {
  return kRules;
}

} // namespace pkc::lint
