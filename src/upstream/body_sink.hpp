// BodySink: takes one answer of an origin into the store.
#pragma once

#include "download.hpp"
#include "rate_limit.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/net/http_client.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/upstream/downloads.hpp"

#include <memory>
#include <optional>
#include <string>

namespace pkc::upstream {

/// What all downloads share; outlives them.
struct Fetchers {
  DownloadParts parts;
  const DownloadOptions& options;
  RateLimits& limits;
};

/// What an origin needs to be asked for the rest of a body.
struct ResumePoint {
  ByteCount offset = 0;
  std::string validator; ///< a strong one, for If-Range
};

/// The body of one download, over as many requests as it takes. One thread at a time.
class BodySink final : public net::ResponseSink {
 public:
  BodySink(const Fetchers& fetchers, Download& download);

  /// Before each request.
  void expect_whole() { resumes_ = false; }
  void expect_rest() { resumes_ = true; }

  Result<void> head(const net::ResponseHead& head) override;
  Result<void> write(ByteSpan bytes) override;
  Result<void> lull() override;

  /// Where the next request may go on; nothing: it has to be from the start.
  [[nodiscard]] std::optional<ResumePoint> resume_point() const;
  /// Why an answer was of no use, if it was the origin's fault or ours; nothing while all is well.
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  /// That failure may pass.
  [[nodiscard]] bool transient() const { return transient_; }
  void clear_failure();

  [[nodiscard]] bool has_begun() const { return writer_ != nullptr; }
  /// As much has come as the origin said of the whole, if it did. REQUIRES: it has begun.
  [[nodiscard]] bool is_whole() const { return !whole_size_ || *whole_size_ == writer_->size(); }
  [[nodiscard]] const OriginAnswer& answer() const { return answer_; }
  [[nodiscard]] store::ContentWriter& writer() { return *writer_; }
  [[nodiscard]] const std::shared_ptr<store::GrowingContent>& content() const { return content_; }

 private:
  enum class Passing : std::uint8_t {
    no,
    yes
  };
  Result<void> begin(const net::ResponseHead& head);
  Result<void> go_on(const net::ResponseHead& head);
  Result<void> refuse(Failure failure, Passing passing = Passing::no);
  Result<void> refuse_status(const net::ResponseHead& head);
  Result<void> refuse_storage(const Error& error);
  bool pace(ByteCount bytes);
  Result<void> tell();

  const Fetchers& fetchers_;
  Download& download_;
  bool resumes_ = false;
  OriginAnswer answer_;
  std::optional<ByteCount> whole_size_; ///< of the body, if the origin told it
  std::unique_ptr<store::ContentWriter> writer_;
  std::shared_ptr<store::GrowingContent> content_;
  RateLimits::Share origin_limit_;
  std::optional<Failure> failure_;
  bool transient_ = false;
  ByteCount told_ = 0; ///< how much was there when those who wait were last told
  SteadyTime told_at_;
};

} // namespace pkc::upstream
