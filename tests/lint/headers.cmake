# Compiles each public header alone, so that none leans on what its includers happened to include before it.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/include/*.hpp")
set(units "")
foreach(header IN LISTS headers)
  string(REPLACE "/" "_" unit "${header}")
  set(unit "${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp")
  # Twice: the second include shows a missing guard.
  file(CONFIGURE OUTPUT "${unit}" CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
  list(APPEND units "${unit}")
endforeach()
add_library(lint_headers OBJECT ${units})
target_include_directories(lint_headers PRIVATE "${PROJECT_SOURCE_DIR}/include")
pkc_compile_options(lint_headers)
# Only the front end matters; no optimisation makes this cheap.
target_compile_options(lint_headers PRIVATE -O0 -U_FORTIFY_SOURCE)
