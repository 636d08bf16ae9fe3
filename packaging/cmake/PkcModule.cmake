# pkc_module(name SOURCES … DEPS … EXTERNAL …): one folder under src/, one static library pkc_<name>.
# DEPS are modules declared earlier (PUBLIC); EXTERNAL are dep::x targets (PRIVATE: no third-party type is in a public header).

set_property(GLOBAL PROPERTY PKC_LAYERS "")

function(pkc_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_23)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE ${PKC_WARNINGS} ${PKC_HARDENING})
endfunction()

function(pkc_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;EXTERNAL" ${ARGN})
  add_library(pkc_${name} STATIC ${ARG_SOURCES})
  target_include_directories(pkc_${name} PUBLIC "${PROJECT_SOURCE_DIR}/include" PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  pkc_compile_options(pkc_${name})
  foreach(dep IN LISTS ARG_DEPS)
    if(NOT TARGET pkc_${dep})
      message(FATAL_ERROR "module ${name} depends on ${dep}, which is not declared above it")
    endif()
    target_link_libraries(pkc_${name} PUBLIC pkc_${dep})
  endforeach()
  target_link_libraries(pkc_${name} PRIVATE ${ARG_EXTERNAL})
  string(REPLACE ";" " " deps "${ARG_DEPS}")
  set_property(GLOBAL APPEND PROPERTY PKC_LAYERS "${name}: ${deps}")
endfunction()

# Writes layers.txt, "module: its direct dependencies" a line, for tests/lint.
function(pkc_write_layers)
  get_property(layers GLOBAL PROPERTY PKC_LAYERS)
  list(JOIN layers "\n" text)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/layers.txt" CONTENT "${text}\n" @ONLY)
endfunction()

# pkc_test(name LABEL label SOURCES … MODULES … EXTERNAL …): one doctest executable, one ctest entry.
function(pkc_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;MODULES;EXTERNAL" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  pkc_compile_options(${name})
  list(TRANSFORM ARG_MODULES PREPEND pkc_)
  target_link_libraries(${name} PRIVATE ${ARG_MODULES} ${ARG_EXTERNAL} pkc_test_support dep::doctest)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 125)
endfunction()
