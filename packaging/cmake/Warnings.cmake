# Warnings and hardening for our own targets; -Werror in developer builds only, so that a newer compiler of a user
# does not stop them.
option(PKC_WERROR "warnings are errors" OFF)

set(PKC_WARNINGS
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wnull-dereference -Wundef -Wswitch-enum -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND PKC_WARNINGS -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wuseless-cast)
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
add_link_options(-Wl,-z,relro,-z,now -pie)
