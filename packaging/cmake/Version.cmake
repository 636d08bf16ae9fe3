# The target pkc_version: "pkc/version.hpp" with the project's version and the commit it was built from. Link it where
# the version is printed, nowhere else: a new commit then recompiles one file.
#
# Run as a script (cmake -P) it writes the header; the build does that each time, because a commit is no change that
# ninja could see, and an unchanged header is not written again.
if(CMAKE_SCRIPT_MODE_FILE)
  set(PKC_COMMIT "")
  find_program(GIT_EXECUTABLE git)
  if(GIT_EXECUTABLE)
    # Git would look for a repository in the folders above too, and name the commit of something else.
    get_filename_component(above "${PKC_SOURCE_DIR}" DIRECTORY)
    set(ENV{GIT_CEILING_DIRECTORIES} "${above}")
    execute_process(
      COMMAND "${GIT_EXECUTABLE}" rev-parse --short=12 HEAD
      WORKING_DIRECTORY "${PKC_SOURCE_DIR}"
      OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
      ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed)
      set(PKC_COMMIT "${commit}")
    endif()
  endif()
  configure_file("${CMAKE_CURRENT_LIST_DIR}/version.hpp.in" "${PKC_VERSION_HEADER}" @ONLY)
  return()
endif()

set(PKC_VERSION_HEADER "${PROJECT_BINARY_DIR}/generated/pkc/version.hpp")
add_custom_target(pkc_version_header
  COMMAND "${CMAKE_COMMAND}" "-DPKC_SOURCE_DIR=${PROJECT_SOURCE_DIR}" "-DPKC_VERSION=${PROJECT_VERSION}"
    "-DPKC_VERSION_HEADER=${PKC_VERSION_HEADER}" -P "${CMAKE_CURRENT_LIST_FILE}"
  BYPRODUCTS "${PKC_VERSION_HEADER}"
  COMMENT "Looking up the commit"
  VERBATIM)
add_library(pkc_version INTERFACE)
target_include_directories(pkc_version INTERFACE "${PROJECT_BINARY_DIR}/generated")
add_dependencies(pkc_version pkc_version_header)
