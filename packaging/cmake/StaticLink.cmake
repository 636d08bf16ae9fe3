# -DPKC_STATIC=ON: everything but glibc is linked into the executable, so that it runs on a machine that has nothing of
# ours installed. glibc stays shared: it looks up hosts through plug-ins that must be of its own version.
#
# Sets PKC_SOCI, PKC_SPDLOG, PKC_TOML, PKC_YAML and PKC_ZSTD, the targets behind dep::spdlog and so on. OpenSSL needs
# nothing here: OPENSSL_USE_STATIC_LIBS, set in front of its search, makes CMake choose libssl.a and libcrypto.a.
set(PKC_SOCI "${soci_sqlite}" "${soci_core}" PkgConfig::sqlite) # in the order of who needs whom
set(PKC_SPDLOG spdlog::spdlog)
set(PKC_TOML tomlplusplus::tomlplusplus)
set(PKC_YAML yaml-cpp)
set(PKC_ZSTD PkgConfig::zstd)
if(NOT PKC_STATIC)
  return()
endif()

# pkc_archive(variable target file): an imported library of the .a file that lies beside the shared one.
function(pkc_archive variable target file)
  find_library(${target}_archive NAMES "${file}")
  pkc_origin("${file}" ${target}_archive "" "${${target}_archive}")
  set(PKC_ORIGINS "${PKC_ORIGINS}" PARENT_SCOPE)
  set(PKC_MISSING "${PKC_MISSING}" PARENT_SCOPE)
  add_library(${target} STATIC IMPORTED)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${${target}_archive}")
  set(${variable} ${target} PARENT_SCOPE)
endfunction()

pkc_archive(PKC_YAML pkc_archive_yaml libyaml-cpp.a)
pkc_archive(PKC_ZSTD pkc_archive_zstd libzstd.a)
pkc_archive(PKC_SOCI pkc_archive_soci_core libsoci_core.a)
pkc_archive(PKC_SOCI pkc_archive_soci_sqlite libsoci_sqlite3.a)
pkc_archive(PKC_SOCI pkc_archive_sqlite libsqlite3.a)
set(PKC_SOCI pkc_archive_soci_sqlite pkc_archive_soci_core pkc_archive_sqlite Threads::Threads ${CMAKE_DL_LIBS} m)

# Of these Debian packages no archive. All of them may be used as headers alone, but the packaged targets ask for the
# shared libraries.
add_library(pkc_spdlog_headers INTERFACE)
target_compile_definitions(pkc_spdlog_headers INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)
target_include_directories(pkc_spdlog_headers SYSTEM INTERFACE
  $<TARGET_PROPERTY:spdlog::spdlog_header_only,INTERFACE_INCLUDE_DIRECTORIES>)
target_link_libraries(pkc_spdlog_headers INTERFACE Threads::Threads)
set(PKC_SPDLOG pkc_spdlog_headers)
add_library(pkc_toml_headers INTERFACE)
target_compile_definitions(pkc_toml_headers INTERFACE TOML_HEADER_ONLY=1)
target_include_directories(pkc_toml_headers SYSTEM INTERFACE
  $<TARGET_PROPERTY:tomlplusplus::tomlplusplus,INTERFACE_INCLUDE_DIRECTORIES>)
set(PKC_TOML pkc_toml_headers)

add_link_options(-static-libstdc++ -static-libgcc)
# Where the tree lies must not show in what is built: two builds of one commit are the same bytes.
add_compile_options("-ffile-prefix-map=${PROJECT_SOURCE_DIR}=." "-ffile-prefix-map=${PROJECT_BINARY_DIR}=build")
