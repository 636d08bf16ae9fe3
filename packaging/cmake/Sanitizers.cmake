# -DPKC_SANITIZE=address,undefined or thread
set(PKC_SANITIZE "" CACHE STRING "sanitizers for everything, e.g. address,undefined or thread")
if(PKC_SANITIZE)
  add_compile_options(-fsanitize=${PKC_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PKC_SANITIZE})
endif()
# -DPKC_FUZZ=ON: every module tells libFuzzer which branches an input took, and stops at the first fault.
if(PKC_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
