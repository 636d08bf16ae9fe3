# Warnings, hardening and optimisation of our own targets; -Werror in developer builds only, so that a newer compiler
# of a user does not stop them.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

option(PKC_WERROR "warnings are errors" OFF)

set(PKC_WARNINGS
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wundef -Wswitch-enum -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND PKC_WARNINGS -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wuseless-cast)
endif()
# -Wnull-dereference is left to clang-tidy's analyzer: without optimisation it finds nothing, and with it g++ 12 sees null
# pointers inside its own std::string and std::vector. What sanitizers insert confuses the other flow warning, as its
# documentation says.
if(PKC_SANITIZE)
  list(APPEND PKC_WARNINGS -Wno-maybe-uninitialized)
endif()
if(PKC_WERROR)
  list(APPEND PKC_WARNINGS -Werror)
endif()

set(PKC_HARDENING -fstack-protector-strong)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  list(APPEND PKC_HARDENING -D_FORTIFY_SOURCE=2)
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-Wl,-z,relro,-z,now,--as-needed -pie)

# The hot paths are in the kernel, zstd and OpenSSL: -O3 only makes our part larger and slower to compile.
if(CMAKE_CXX_FLAGS_RELEASE STREQUAL "-O3 -DNDEBUG")
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections)
endif()
