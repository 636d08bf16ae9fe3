#include "fetch/content_answer.hpp"

#include "fetch/answers.hpp"
#include "fetch/content_type.hpp"

#include "pkc/base/codec.hpp"
#include "pkc/base/http_headers.hpp"
#include "pkc/base/http_text.hpp"
#include "pkc/http/content.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <utility>

namespace pkc::protocols::fetch {

namespace {

using http::ContentPlan;
using http::Outcome;
using http::Request;
using http::Response;
using store::Archive;
using store::ContentObject;

/// A larger answer is made anew each time: what it takes besides is nothing beside its bytes.
constexpr std::size_t kRepeatedRunsMax = 1024; // 128 MiB mostly, and 16 KiB of memory
/// Headers that are longer may be of an origin that wants to fill our memory.
constexpr std::size_t kRepeatedHeadersMax = 4 * kKiB;

/// What lies in the file as it is, in pieces of 128 KiB.
class StoredPieces final : public http::PieceSource {
 public:
  explicit StoredPieces(std::unique_ptr<ContentObject> content) : content_(std::move(content)) {}

  Result<http::FilePiece> piece(ByteCount offset, ByteCount length_max) override {
    TRY_ASSIGN(auto piece, content_->raw_piece(offset));
    if (!piece) {
      return fail(Errc::corrupt, "a part of the file is compressed after all");
    }
    return http::FilePiece{.file = std::move(piece->file),
                           .offset = piece->file_offset,
                           .length = std::min(piece->length, length_max)};
  }
  void when_ready(ByteCount /*offset*/, http::Wake wake) override { wake(); }

 private:
  std::unique_ptr<ContentObject> content_;
};

/// The same of a file whose runs are known.
class KnownPieces final : public http::PieceSource {
 public:
  KnownPieces(std::shared_ptr<File> file, std::shared_ptr<const Repeatable> known)
      : file_(std::move(file)), known_(std::move(known)) {}

  Result<http::FilePiece> piece(ByteCount offset, ByteCount length_max) override {
    const auto& runs = known_->runs;
    const auto next = std::ranges::upper_bound(runs, offset, {}, &RawRun::content_begin);
    const RawRun& run = *std::prev(next);
    const ByteCount end = next == runs.end() ? known_->size : next->content_begin;
    return http::FilePiece{.file = file_,
                           .offset = run.file_begin + (offset - run.content_begin),
                           .length = std::min(end - offset, length_max)};
  }
  void when_ready(ByteCount /*offset*/, http::Wake wake) override { wake(); }

 private:
  const std::shared_ptr<File> file_;
  const std::shared_ptr<const Repeatable> known_;
};

/// What has arrived of a download so far.
class ArrivingPieces final : public http::PieceSource {
 public:
  explicit ArrivingPieces(std::shared_ptr<upstream::Waiter> waiter) : waiter_(std::move(waiter)) {}

  Result<http::FilePiece> piece(ByteCount offset, ByteCount length_max) override {
    // Asked first: a piece that is missing afterwards is missing for good.
    const bool stored = waiter_->phase() == upstream::Phase::stored;
    TRY_ASSIGN(auto piece, waiter_->piece(offset));
    if (!piece) {
      return http::FilePiece{.file = nullptr, .offset = 0, .length = 0, .ended = stored};
    }
    return http::FilePiece{.file = std::move(piece->file),
                           .offset = piece->file_offset,
                           .length = std::min(piece->length, length_max)};
  }
  void when_ready(ByteCount offset, http::Wake wake) override {
    waiter_->when_ready(offset, std::move(wake));
  }

 private:
  const std::shared_ptr<upstream::Waiter> waiter_;
};

/// Whether the client takes zstd as a content coding (RFC 9110 section 12.5.3). "*" does not count:
/// who writes it does not know zstd.
bool accepts_zstd(const Request& request) {
  std::string_view list = request.headers.get("Accept-Encoding").value_or("");
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find(','));
    list.remove_prefix(std::min(entry.size() + 1, list.size()));
    const std::size_t semicolon = std::min(entry.find(';'), entry.size());
    if (!equals_ignoring_case(trim_ows(entry.substr(0, semicolon)), "zstd")) {
      continue;
    }
    const std::string_view weight = trim_ows(entry.substr(std::min(semicolon + 1, entry.size())));
    return !(weight.starts_with("q=0") || weight.starts_with("Q=0")) ||
           weight.find_first_of("123456789") != std::string_view::npos;
  }
  return false;
}

/// What a browser must not do with a file of a stranger that comes from our name.
void add_safety_headers(Response& response) {
  response.headers.add("X-Content-Type-Options", "nosniff");
  response.headers.add("Content-Security-Policy", "sandbox; default-src 'none'");
}

/// A condition can be looked at only when the digest, which is the tag, is known.
constexpr std::array<std::string_view, 5> kConditions = {
    "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"};

bool has_any(const Request& request, std::span<const std::string_view> names) {
  return std::ranges::any_of(request.headers.fields(), [&](const auto& field) {
    return std::ranges::any_of(
        names, [&](std::string_view name) { return equals_ignoring_case(field.first, name); });
  });
}

bool is_conditional(const Request& request) {
  return has_any(request, kConditions);
}

/// Whether a request asks for the file and nothing else, so that all such requests get one answer.
bool is_plain(const Request& request) {
  constexpr std::array<std::string_view, 2> kMore = {"Range", "Want-Digest"};
  return !is_conditional(request) && !has_any(request, kMore);
}

std::size_t size_of(const http::Headers& headers) {
  std::size_t size = 0;
  for (const auto& [name, value] : headers.fields()) {
    size += name.size() + value.size();
  }
  return size;
}

/// One answer with a stored file. One thread at a time.
class ContentAnswer {
 public:
  ContentAnswer(const Request& request,
                Archive::Found found,
                store::ContentAddressedStore& contents,
                Cached cached)
      : request_(request),
        source_(std::move(found.source)),
        content_(std::move(found.content)),
        contents_(contents),
        cached_(cached) {}

  Result<std::optional<ContentResponse>> make();

 private:
  [[nodiscard]] bool is_compressed() const {
    return content_->stored().sidecar->size < content_->size();
  }
  [[nodiscard]] bool goes_encoded() const;
  [[nodiscard]] http::Representation representation(bool encoded) const;
  Response refuse(const ContentPlan& plan, const http::Representation& representation) const;
  void describe(Response& response, const ContentPlan& plan, bool encoded) const;
  Result<void> add_whole(Response& response, bool encoded);
  Result<void> add_range(Response& response, http::ByteRange range);
  Result<std::shared_ptr<const Repeatable>> repeatable(const Response& response, bool encoded);

  const Request& request_;
  const store::ArchivedSource source_;
  std::unique_ptr<ContentObject> content_;
  store::ContentAddressedStore& contents_;
  const Cached cached_;
};

/// The stored bytes are the answer where both sides gain by it. A range is always of the plain
/// file: a part of a compressed one would be of no use to whoever resumes.
bool ContentAnswer::goes_encoded() const {
  return is_compressed() && source_.content_encoding.empty() && !request_.headers.get("Range") &&
         accepts_zstd(request_);
}

http::Representation ContentAnswer::representation(bool encoded) const {
  // Two encodings of a file are two representations, and need two strong tags (RFC 9110 8.8.3.3).
  const std::string tag = source_.content.hex() + (encoded ? "-zstd" : "");
  const auto modified = parse_http_date(source_.last_modified);
  return {.size = encoded ? content_->stored().sidecar->size : content_->size(),
          .etag = '"' + tag + '"',
          .last_modified = modified.value_or(source_.fetched_at)};
}

Response ContentAnswer::refuse(const ContentPlan& plan,
                               const http::Representation& representation) const {
  Response refusal = http::make_error(plan.status,
                                      plan.status == 412 ? "the file does not meet the condition"
                                                         : "the range is outside the file");
  http::apply_content_headers(refusal, plan, representation);
  refusal.outcome = cached_ == Cached::hit ? Outcome::hit : Outcome::miss;
  return refusal;
}

void ContentAnswer::describe(Response& response, const ContentPlan& plan, bool encoded) const {
  HttpHeaders& headers = response.headers;
  headers.set(kCacheStatus, cached_ == Cached::hit ? "HIT" : "MISS");
  headers.set("X-Content-SHA256", source_.content.hex());
  if (is_compressed()) {
    headers.set("Vary", "Accept-Encoding");
  }
  if (plan.status == 304) { // RFC 9110 section 15.4.5: no more about the content than it validates
    return;
  }
  headers.set("Content-Type",
              source_.content_type.empty() ? guess_content_type(source_.source_url)
                                           : std::string_view(source_.content_type));
  if (encoded) {
    headers.set("Content-Encoding", "zstd");
  } else if (!source_.content_encoding.empty()) {
    headers.set("Content-Encoding", source_.content_encoding);
  }
  if (request_.headers.get("Want-Digest") && !encoded) { // aria2 1.36: RFC 3230
    headers.set("Digest", "SHA-256=" + encode_base64(source_.content.bytes));
  }
  add_safety_headers(response);
}

Result<void> ContentAnswer::add_whole(Response& response, bool encoded) {
  const store::StoredObject& stored = content_->stored();
  if (encoded) {
    const ByteCount size = stored.sidecar->size;
    if (content_->verified()) {
      response.body = http::FileBody{stored.file, 0, size};
    } else {
      response.body = http::StreamBody{contents_.verified_stored(*content_), size};
    }
    return {};
  }
  if (!content_->verified()) {
    response.body = http::StreamBody{contents_.verified_content(*content_), content_->size()};
    return {};
  }
  return add_range(response, {0, content_->size()});
}

/// REQUIRES: the content is verified.
Result<void> ContentAnswer::add_range(Response& response, http::ByteRange range) {
  if (range.length == 0) {
    return {};
  }
  TRY_ASSIGN(auto first, content_->raw_piece(range.offset));
  if (first && first->length >= range.length) { // small files mostly, for which this is faster
    response.body = http::FileBody{std::move(first->file), first->file_offset, range.length};
    return {};
  }
  bool raw = first.has_value();
  if (raw) {
    TRY_ASSIGN(raw, content_->is_raw(range.offset, range.length));
  }
  if (raw) {
    response.body = http::PiecesBody{
        std::make_shared<StoredPieces>(std::move(content_)), range.offset, range.length};
    return {};
  }
  TRY_ASSIGN(auto source, content_->content(range.offset, range.length));
  response.body = http::StreamBody{std::move(source), range.length};
  return {};
}

/// REQUIRES: the response is the whole file.
Result<std::shared_ptr<const Repeatable>> ContentAnswer::repeatable(const Response& response,
                                                                    bool encoded) {
  if (!is_plain(request_) || !content_->verified() || content_->size() == 0 ||
      size_of(response.headers) > kRepeatedHeadersMax) {
    return nullptr;
  }
  Repeatable again{.content = content_->key(),
                   .identity = content_->stored().identity,
                   .size = content_->size(),
                   .encoded = encoded,
                   .runs = {},
                   .field_lines = nullptr};
  if (!encoded) {
    TRY_ASSIGN(auto runs, content_->raw_runs(kRepeatedRunsMax));
    if (!runs) {
      return nullptr;
    }
    again.runs = *std::move(runs);
  }
  http::Headers headers = response.headers;
  headers.set(kCacheStatus, "HIT");
  again.field_lines = std::make_shared<const std::string>(http::format_fields(headers));
  return std::make_shared<const Repeatable>(std::move(again));
}

Result<std::optional<ContentResponse>> ContentAnswer::make() {
  const bool encoded = goes_encoded();
  const http::Representation file = representation(encoded);
  const ContentPlan plan = http::plan_content(request_, file);
  if (plan.status == 412 || plan.status == 416) {
    return ContentResponse{refuse(plan, file)};
  }
  Response response = http::make_response(plan.status);
  response.outcome = cached_ == Cached::hit ? Outcome::hit : Outcome::miss;
  http::apply_content_headers(response, plan, file);
  describe(response, plan, encoded);
  if (plan.status == 206 && !content_->verified()) {
    // A part proves nothing by itself: the whole is read once before any of it leaves.
    TRY_ASSIGN(const bool good, contents_.verify(*content_));
    if (!good) {
      return std::nullopt;
    }
  }
  std::shared_ptr<const Repeatable> again;
  if (plan.status == 200) {
    TRY_ASSIGN(again, repeatable(response, encoded));
    TRY(add_whole(response, encoded));
  } else if (plan.status == 206) {
    TRY(add_range(response, plan.range));
  }
  return ContentResponse{std::move(response), std::move(again)};
}

} // namespace

Result<std::optional<ContentResponse>> answer_content(const Request& request,
                                                      Archive::Found found,
                                                      store::ContentAddressedStore& contents,
                                                      Cached cached) {
  return ContentAnswer(request, std::move(found), contents, cached).make();
}

std::optional<Response> repeat_answer(const Request& request,
                                      std::shared_ptr<const Repeatable> repeatable,
                                      store::ContentAddressedStore& contents) {
  if (!is_plain(request) || (repeatable->encoded && !accepts_zstd(request))) {
    return std::nullopt;
  }
  const auto content = contents.open(repeatable->content);
  if (!content || !*content || !(*content)->verified() ||
      (*content)->stored().identity != repeatable->identity) {
    return std::nullopt;
  }
  Response response = http::make_response(200);
  response.outcome = Outcome::hit;
  response.field_lines = repeatable->field_lines;
  std::shared_ptr<File> file = (*content)->stored().file;
  if (repeatable->encoded) {
    response.body = http::FileBody{std::move(file), 0, repeatable->identity.size};
  } else if (repeatable->runs.size() == 1) {
    response.body =
        http::FileBody{std::move(file), repeatable->runs.front().file_begin, repeatable->size};
  } else {
    const ByteCount size = repeatable->size;
    response.body = http::PiecesBody{
        std::make_shared<KnownPieces>(std::move(file), std::move(repeatable)), 0, size};
  }
  return response;
}

std::optional<Response> answer_arriving(const Request& request,
                                        std::string_view url,
                                        std::shared_ptr<upstream::Waiter> waiter) {
  const auto answer = waiter->answer();
  const bool ranged = request.headers.get("Range").has_value();
  if (is_conditional(request) || (ranged && !answer->length)) {
    return std::nullopt;
  }
  if (answer->length == 0) { // its end must not be told before it is stored
    return std::nullopt;
  }
  if (!answer->length && request.headers.get("X-Forwarded-Proto")) {
    // Caddy before 2.8 makes a clean end of a chunked answer that breaks off
    // (github.com/caddyserver/caddy/issues/5951), so it gets a length. It sends this header.
    return std::nullopt;
  }
  ContentPlan plan;
  const http::Representation file{
      .size = answer->length.value_or(0), .etag = {}, .last_modified = std::nullopt};
  if (ranged) {
    plan = http::plan_content(request, file);
    if (plan.status == 416) {
      return std::nullopt; // the error names the tag, too
    }
  }
  Response response = http::make_response(plan.status);
  response.outcome = Outcome::miss;
  HttpHeaders& headers = response.headers;
  if (plan.status == 206) {
    http::apply_content_headers(response, plan, file);
  } else if (answer->length) {
    headers.set("Accept-Ranges", "bytes");
  }
  headers.set(kCacheStatus, "MISS");
  headers.set("Content-Type",
              answer->headers.get("Content-Type").value_or(guess_content_type(url)));
  if (const auto encoding = answer->headers.get("Content-Encoding")) {
    headers.set("Content-Encoding", *encoding);
  }
  if (const auto modified = answer->headers.get("Last-Modified")) {
    headers.set("Last-Modified", *modified);
  }
  add_safety_headers(response);
  const auto length = plan.status == 206 ? plan.range.length : answer->length;
  response.body = http::PiecesBody{
      std::make_shared<ArrivingPieces>(std::move(waiter)), plan.range.offset, length};
  return response;
}

} // namespace pkc::protocols::fetch
