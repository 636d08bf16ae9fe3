// The ASCII helpers of base, which this folder's grammar is written with.
#pragma once

#include "pkc/base/http_text.hpp" // IWYU pragma: export
