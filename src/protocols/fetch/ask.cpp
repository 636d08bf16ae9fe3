#include "fetch/ask.hpp"

#include "object/parameters.hpp"

#include <utility>

namespace pkc::protocols::fetch {

namespace {

using object::Parameters;

std::unexpected<WrongAsk> wrong(std::string_view parameter, std::string message) {
  return std::unexpected(WrongAsk{"invalid_parameter", std::string(parameter), std::move(message)});
}

std::string take(Parameters& parameters, std::string_view name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : parameters.extract(found).mapped();
}

std::expected<std::vector<Checksum>, WrongAsk> take_checksums(Parameters& parameters) {
  std::vector<Checksum> checksums;
  for (const ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    const std::string_view name = to_string(algorithm);
    if (!parameters.contains(name)) {
      continue;
    }
    auto checksum = parse_checksum(algorithm, take(parameters, name));
    if (!checksum) {
      return wrong(name, checksum.error().message);
    }
    checksums.push_back(*std::move(checksum));
  }
  return checksums;
}

std::expected<bool, WrongAsk> take_refresh(Parameters& parameters) {
  const std::string refresh = take(parameters, "refresh");
  if (!refresh.empty() && refresh != "0" && refresh != "1") {
    return wrong("refresh", "takes 0 or 1");
  }
  return refresh == "1";
}

} // namespace

std::expected<Ask, WrongAsk> parse_ask(std::string_view text) {
  auto parameters = object::parse_parameters(text, object::Plus::is_plus);
  if (!parameters) {
    return wrong(parameters.error().name, parameters.error().message);
  }
  const std::string source = take(*parameters, "url");
  if (source.empty()) {
    return std::unexpected(
        WrongAsk{"missing_parameter", "url", "url is needed: the percent-encoded URL to fetch"});
  }
  auto url = parse_url(source);
  if (!url) {
    return wrong("url", url.error().message);
  }
  auto wanted = take_checksums(*parameters);
  if (!wanted) {
    return std::unexpected(wanted.error());
  }
  const auto refresh = take_refresh(*parameters);
  if (!refresh) {
    return std::unexpected(refresh.error());
  }
  if (!parameters->empty()) {
    // Mostly the rest of a URL with a query that was not encoded: fetching a part of it would be
    // worse than nothing.
    return wrong(parameters->begin()->first,
                 "is not a parameter of /fetch; if it belongs to the url, percent-encode that");
  }
  Ask ask{.url = *std::move(url), .text = {}, .wanted = *std::move(wanted), .refresh = *refresh};
  ask.text = ask.url.text();
  return ask;
}

} // namespace pkc::protocols::fetch
