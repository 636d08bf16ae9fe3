# -DPKC_SANITIZE=address,undefined or thread
set(PKC_SANITIZE "" CACHE STRING "sanitizers for everything, e.g. address,undefined or thread")
if(PKC_SANITIZE)
  add_compile_options(-fsanitize=${PKC_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PKC_SANITIZE})
endif()
