# Warnings are errors; hardening is on in every build type; sanitizers by preset.
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
                    -Wformat=2 -Wundef -Wvla -Werror)
add_compile_options(-fstack-protector-strong -fno-strict-aliasing -fno-common)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

if(TLSMEND_FUZZ)
  # Every layer reports its edges to the fuzzer; the fuzzer itself is linked by the targets.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(TLSMEND_SANITIZE)
  add_compile_options(-fsanitize=${TLSMEND_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TLSMEND_SANITIZE})
else()
  # glibc's _FORTIFY_SOURCE needs an optimising build and does not mix with the sanitizers.
  add_compile_options("$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-fstack-clash-protection)
endif()
