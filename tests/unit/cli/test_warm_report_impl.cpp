#include "warm_report.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <signal.h>

#include <string>
#include <string_view>

namespace pkc::cli {
namespace {

using app::WarmedFile;
using app::WarmReport;
using nlohmann::json;
using Outcome = WarmedFile::Outcome;

WarmedFile file_with(Outcome outcome, ByteCount size = 0) {
  WarmedFile file;
  file.outcome = outcome;
  file.size = size;
  return file;
}

WarmedFile refused(int status, const std::string& answer) {
  WarmedFile file = file_with(Outcome::failed);
  file.status = status;
  file.answer = answer;
  return file;
}

/// A report on these files, and a manifest of as many.
struct Told {
  explicit Told(std::initializer_list<WarmedFile> files) {
    report.files = files;
    for (std::size_t at = 0; at < report.files.size(); ++at) {
      manifest.files.push_back({.url = "http://a/" + std::to_string(at), .checksums = {}});
    }
  }
  config::Manifest manifest;
  WarmReport report;
};

std::string reason_of(const WarmedFile& file) {
  const Told told({file});
  constexpr std::string_view kBefore = "polykit-cache: http://a/0: ";
  const std::string text = warm_failures(told.manifest, told.report);
  REQUIRE(text.starts_with(kBefore));
  return text.substr(kBefore.size());
}

} // namespace

TEST_SUITE("cli::WarmReport") {
  TEST_CASE("summary: what is new with its size, and what is missing only if something is") {
    Told told({file_with(Outcome::downloaded, 1024 * 1024),
               file_with(Outcome::present, 5),
               file_with(Outcome::downloaded, 1024 * 1024)});
    CHECK(warm_summary(told.report) == "downloaded 2 (2.0 MiB), already there 1, failed 0\n");

    told.report.files.push_back(file_with(Outcome::not_done));
    told.report.files.push_back(file_with(Outcome::failed, 7));
    CHECK(warm_summary(told.report) ==
          "downloaded 2 (2.0 MiB), already there 1, failed 1, not done 1\n");
  }

  TEST_CASE("exit code: 0 for every file, 1 for less, and the signal's before both") {
    CHECK(warm_exit_code(
              Told({file_with(Outcome::downloaded), file_with(Outcome::present)}).report) == 0);
    CHECK(warm_exit_code(Told({file_with(Outcome::present), file_with(Outcome::failed)}).report) ==
          1);
    CHECK(warm_exit_code(Told({file_with(Outcome::not_done)}).report) == 1);
    Told interrupted({file_with(Outcome::failed)});
    interrupted.report.signal = SIGINT;
    CHECK(warm_exit_code(interrupted.report) == 130);
  }

  TEST_CASE("failures: in the words of the server, fit for a terminal") {
    CHECK(reason_of(
              refused(502, R"({"error":"upstream_error","message":"the origin answered 404"})")) ==
          "upstream_error: the origin answered 404\n");
    CHECK(reason_of(refused(
              409,
              R"({"error":"checksum_mismatch","expected":"a","actual":"b","message":"not it"})")) ==
          "checksum_mismatch: not it (expected a, actual b)\n");
    CHECK(reason_of(refused(
              500, R"({"error":"internal_error","message":"failed","details":"disk full"})")) ==
          "internal_error: failed: disk full\n");
    CHECK(reason_of(refused(401, R"({"error":"a token is needed"})")) == "a token is needed\n");
    CHECK(reason_of(refused(504, "<html>")) == "the server answers 504\n");
    CHECK(reason_of(refused(404, R"({"error":"not found"})")) ==
          "the server answers 404: it is none of ours, or has no /fetch\n");
    CHECK(reason_of(refused(502, "{\"error\":\"\\u001b[2J\\u007f\",\"message\":7}")) == " [2J \n");
    WarmedFile broken = file_with(Outcome::failed);
    broken.reason = "it broke off";
    CHECK(reason_of(broken) == "it broke off\n");
  }

  TEST_CASE("failures: who gave up says so, if there was anything left") {
    Told told({refused(401, "{}")});
    told.report.given_up_at = 0;
    CHECK(!warm_failures(told.manifest, told.report).contains("given up"));

    told = Told({refused(401, "{}"), file_with(Outcome::not_done)});
    told.report.given_up_at = 0;
    CHECK(warm_failures(told.manifest, told.report).contains("polykit-cache: given up"));
  }

  TEST_CASE("json: one document, with every file in the order of the manifest") {
    WarmedFile present = file_with(Outcome::present, 5);
    present.sha256 = "ab";
    Told told({present,
               file_with(Outcome::downloaded, 7),
               refused(502, R"({"error":"upstream_error","message":"\udc00"})"),
               refused(502, "\xff"),
               file_with(Outcome::not_done)});
    told.manifest.repeated = 3;
    told.report.signal = SIGTERM;

    const json document = json::parse(warm_json(told.manifest, told.report));

    CHECK(document["downloaded"] == 1);
    CHECK(document["downloaded_bytes"] == 7);
    CHECK(document["present"] == 1);
    CHECK(document["present_bytes"] == 5);
    CHECK(document["failed"] == 2);
    CHECK(document["not_done"] == 1);
    CHECK(document["repeated"] == 3);
    CHECK(document["given_up"] == false);
    CHECK(document["interrupted"] == true);
    const json& files = document["files"];
    REQUIRE(files.size() == 5);
    CHECK(files[0] ==
          json{{"url", "http://a/0"}, {"result", "present"}, {"size", 5}, {"sha256", "ab"}});
    CHECK(files[1] ==
          json{{"url", "http://a/1"}, {"result", "downloaded"}, {"size", 7}, {"sha256", nullptr}});
    CHECK(files[2]["error"] == nullptr); // a lone surrogate is no JSON
    CHECK(files[3] == json{{"url", "http://a/3"},
                           {"result", "failed"},
                           {"status", 502},
                           {"error", nullptr},
                           {"message", "the server answers 502"}});
    CHECK(files[4] == json{{"url", "http://a/4"}, {"result", "not_done"}});
  }
}

} // namespace pkc::cli
