#include "polykit_options.hpp"

namespace pkc::app {

protocols::PolykitOptions polykit_options(const config::Settings& settings) {
  protocols::PolykitOptions options;
  options.body_size_max = settings.max_size;
  options.artifact_files_max = settings.max_artifact_files;
  options.decode.decoded_size_max = settings.max_decoded_size;
  options.decode.ratio_max = settings.max_decode_ratio;
  return options;
}

} // namespace pkc::app
