# Third-party libraries as dep::<name> targets. Headers are SYSTEM, so their warnings are not ours.
#
# Each comes from the system in a minimum version; ./dev installs the packages. The one exception is cpp-httplib: the
# packaged one is a split build and, on Debian 12, years behind, so packaging/scripts/fetch-httplib brings a header-only
# copy. Versions below the minimum were not tried; those of Debian 12 are what the tests run on.

set(PKC_HTTPLIB_DIR "${PROJECT_SOURCE_DIR}/.deps/cpp-httplib" CACHE PATH "folder of the header-only httplib.h, 0.41 or newer")

set(PKC_MISSING "")
set(PKC_ORIGINS "")

# Notes where a dependency was found; all that is missing is reported at once, at the end.
macro(pkc_origin name found version place)
  if(${found})
    list(APPEND PKC_ORIGINS "${name}|${version}|${place}")
  else()
    list(APPEND PKC_MISSING "${name}")
  endif()
endmacro()

macro(pkc_find package minimum)
  find_package(${package} ${minimum} QUIET)
  pkc_origin("${package} >= ${minimum}" ${package}_FOUND "${${package}_VERSION}" "${${package}_DIR}")
endmacro()

option(PKC_STATIC "link everything but glibc into the executable" OFF)
set(OPENSSL_USE_STATIC_LIBS ${PKC_STATIC})

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 QUIET)
pkc_origin("OpenSSL >= 3.0" OPENSSL_FOUND "${OPENSSL_VERSION}" "${OPENSSL_CRYPTO_LIBRARY}")
pkc_find(nlohmann_json 3.11)
pkc_find(spdlog 1.10)
pkc_find(CLI11 2.1)
pkc_find(yaml-cpp 0.7)
pkc_find(tomlplusplus 3.3)
if(PKC_TESTS)
  pkc_find(doctest 2.4)
endif()
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(zstd QUIET IMPORTED_TARGET libzstd>=1.5.4)
  pkg_check_modules(sqlite QUIET IMPORTED_TARGET sqlite3>=3.37) # the first with STRICT tables
endif()
pkc_origin("zstd >= 1.5.4" zstd_FOUND "${zstd_VERSION}" "${zstd_LINK_LIBRARIES}")
pkc_origin("SQLite >= 3.37" sqlite_FOUND "${sqlite_VERSION}" "${sqlite_LINK_LIBRARIES}")

# SOCI 4.0 brings nothing that CMake could ask. Of its backends only those are linked that src/base/sql names.
find_path(soci_folder soci/version.h)
find_library(soci_core NAMES soci_core)
find_library(soci_sqlite NAMES soci_sqlite3)
set(soci_usable FALSE)
set(soci_version "")
if(soci_folder AND soci_core AND soci_sqlite)
  file(STRINGS "${soci_folder}/soci/version.h" soci_version REGEX "^#define SOCI_LIB_VERSION ")
  string(REGEX REPLACE "[^\"]*\"([0-9_]+)\".*" "\\1" soci_version "${soci_version}")
  string(REPLACE "_" "." soci_version "${soci_version}")
  if(soci_version VERSION_GREATER_EQUAL 4.0)
    set(soci_usable TRUE)
  endif()
endif()
pkc_origin("SOCI >= 4.0" soci_usable "${soci_version}" "${soci_core}")
include(StaticLink)

# The version is in the header; a split header has declarations only, which would show as a wall of link errors.
set(httplib_usable FALSE)
set(httplib_version "")
if(EXISTS "${PKC_HTTPLIB_DIR}/httplib.h")
  file(STRINGS "${PKC_HTTPLIB_DIR}/httplib.h" httplib_lines REGEX "^(#define CPPHTTPLIB_VERSION |inline bool Server::listen)")
  if("${httplib_lines}" MATCHES "CPPHTTPLIB_VERSION \"([0-9.]+)\".*inline bool Server::listen")
    set(httplib_version "${CMAKE_MATCH_1}")
    if(httplib_version VERSION_GREATER_EQUAL 0.41)
      set(httplib_usable TRUE)
    endif()
  endif()
endif()
set(PKC_HTTPLIB_PROVED 0.41.0) # with what src/http/request_parser.cpp relies on
if(httplib_version VERSION_GREATER PKC_HTTPLIB_PROVED)
  message(WARNING "cpp-httplib ${httplib_version} is newer than ${PKC_HTTPLIB_PROVED}, which src/http was proved with: run ./dev test")
endif()
pkc_origin("cpp-httplib >= 0.41" httplib_usable "${httplib_version}" "${PKC_HTTPLIB_DIR}")

if(PKC_MISSING)
  list(JOIN PKC_MISSING ", " missing)
  message(FATAL_ERROR "missing or too old: ${missing}.\nRun ./dev build, which installs what it needs and builds.")
endif()

message(STATUS "Dependencies:")
foreach(origin IN LISTS PKC_ORIGINS)
  string(REPLACE "|" ";" origin "${origin}")
  list(GET origin 0 name)
  list(GET origin 1 version)
  list(GET origin 2 place)
  string(LENGTH "${name}" length)
  math(EXPR pad "24 - ${length}")
  string(REPEAT " " ${pad} pad)
  message(STATUS "  ${name}${pad}${version}  ${place}")
endforeach()

function(pkc_dep name)
  add_library(dep_${name} INTERFACE)
  target_link_libraries(dep_${name} INTERFACE ${ARGN})
  add_library(dep::${name} ALIAS dep_${name})
endfunction()

pkc_dep(threads Threads::Threads)
pkc_dep(crypto OpenSSL::Crypto)
pkc_dep(ssl OpenSSL::SSL)
pkc_dep(json nlohmann_json::nlohmann_json)
pkc_dep(spdlog ${PKC_SPDLOG})
pkc_dep(cli11 CLI11::CLI11)
pkc_dep(yaml ${PKC_YAML})
pkc_dep(toml ${PKC_TOML})
pkc_dep(zstd ${PKC_ZSTD})
pkc_dep(httplib Threads::Threads OpenSSL::SSL)
pkc_dep(soci ${PKC_SOCI})
target_include_directories(dep_soci SYSTEM INTERFACE "${soci_folder}")
target_include_directories(dep_httplib SYSTEM INTERFACE "${PKC_HTTPLIB_DIR}")
# Out of the way of our own limits. Here and not beside an #include, because every user of a header-only library must see
# the same values.
target_compile_definitions(dep_httplib INTERFACE CPPHTTPLIB_HEADER_MAX_LENGTH=1048576 CPPHTTPLIB_MAX_LINE_LENGTH=1048576
  CPPHTTPLIB_REQUEST_URI_MAX_LENGTH=1048576 CPPHTTPLIB_HEADER_MAX_COUNT=1000 CPPHTTPLIB_OPENSSL_SUPPORT)
if(PKC_TESTS)
  pkc_dep(doctest doctest::doctest)
endif()
