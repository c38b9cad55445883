# Foreign libraries, one imported target each.  No OpenSSL or GnuTLS may come in through any of them
# (tests/integration checks the built program with ldd).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(EVENT REQUIRED IMPORTED_TARGET libevent_core>=2.1.12 libevent_pthreads>=2.1.12)
pkg_check_modules(LIBCONFIG REQUIRED IMPORTED_TARGET libconfig)
pkg_check_modules(UNBOUND REQUIRED IMPORTED_TARGET libunbound)
pkg_check_modules(PSL REQUIRED IMPORTED_TARGET libpsl)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.37) # STRICT tables

# Debian's 2.1.12-stable-8+deb12u1 carries fixes that the plain 2.1.12-stable-8 has not.  pkg-config
# cannot see the Debian revision, so dpkg is asked where there is one.
find_program(DPKG_QUERY dpkg-query)
if(DPKG_QUERY)
  execute_process(COMMAND ${DPKG_QUERY} -W -f=\${Version} libevent-dev
                  OUTPUT_VARIABLE libevent_debian ERROR_QUIET)
  if(libevent_debian)
    execute_process(COMMAND dpkg --compare-versions "${libevent_debian}" ge 2.1.12-stable-8+deb12u1
                    RESULT_VARIABLE libevent_old)
    if(libevent_old)
      message(FATAL_ERROR "libevent-dev ${libevent_debian} is too old: "
              "2.1.12-stable-8+deb12u1 or newer is required (apt-get update && apt-get install libevent-dev)")
    endif()
  endif()
endif()

add_library(dep::event INTERFACE IMPORTED)
target_link_libraries(dep::event INTERFACE PkgConfig::EVENT)
add_library(dep::config INTERFACE IMPORTED)
target_link_libraries(dep::config INTERFACE PkgConfig::LIBCONFIG)
add_library(dep::unbound INTERFACE IMPORTED)
target_link_libraries(dep::unbound INTERFACE PkgConfig::UNBOUND)
add_library(dep::psl INTERFACE IMPORTED)
target_link_libraries(dep::psl INTERFACE PkgConfig::PSL)
add_library(dep::jansson INTERFACE IMPORTED)
target_link_libraries(dep::jansson INTERFACE PkgConfig::JANSSON)
add_library(dep::sqlite INTERFACE IMPORTED)
target_link_libraries(dep::sqlite INTERFACE PkgConfig::SQLITE)

# libhttp-parser has no pkg-config file.
find_path(HTTP_PARSER_INCLUDE http_parser.h REQUIRED)
find_library(HTTP_PARSER_LIB http_parser REQUIRED)
add_library(dep::http INTERFACE IMPORTED)
target_link_libraries(dep::http INTERFACE ${HTTP_PARSER_LIB})
target_include_directories(dep::http SYSTEM INTERFACE ${HTTP_PARSER_INCLUDE})

# BoringSSL: crypto alone for certs/, ssl and crypto for proxy/net.
add_library(dep::boringcrypto INTERFACE IMPORTED)
add_library(dep::boringssl INTERFACE IMPORTED)
if(BORINGSSL_ROOT)
  find_library(BORING_SSL_LIB NAMES libssl.a PATHS ${BORINGSSL_ROOT} ${BORINGSSL_ROOT}/lib
               NO_DEFAULT_PATH REQUIRED)
  find_library(BORING_CRYPTO_LIB NAMES libcrypto.a PATHS ${BORINGSSL_ROOT} ${BORINGSSL_ROOT}/lib
               NO_DEFAULT_PATH REQUIRED)
  set(boring_include ${BORINGSSL_ROOT}/include)
  target_link_libraries(dep::boringcrypto INTERFACE ${BORING_CRYPTO_LIB} stdc++ Threads::Threads)
  target_link_libraries(dep::boringssl INTERFACE ${BORING_SSL_LIB} ${BORING_CRYPTO_LIB} stdc++
                        Threads::Threads)
else()
  set(boring_dir /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android)
  find_library(BORING_SSL_LIB NAMES libssl.so PATHS ${boring_dir} NO_DEFAULT_PATH REQUIRED)
  find_library(BORING_CRYPTO_LIB NAMES libcrypto.so PATHS ${boring_dir} NO_DEFAULT_PATH REQUIRED)
  set(boring_include /usr/include/android)
  target_link_libraries(dep::boringcrypto INTERFACE ${BORING_CRYPTO_LIB})
  target_link_libraries(dep::boringssl INTERFACE ${BORING_SSL_LIB} ${BORING_CRYPTO_LIB})
  # The libraries lie outside the linker's path, so the program remembers where.
  set(CMAKE_BUILD_RPATH ${boring_dir})
  set(CMAKE_INSTALL_RPATH ${boring_dir})
endif()
if(NOT EXISTS ${boring_include}/openssl/base.h)
  message(FATAL_ERROR "No BoringSSL headers in ${boring_include}: install android-libboringssl-dev "
          "or set -DBORINGSSL_ROOT=DIR")
endif()
target_include_directories(dep::boringcrypto SYSTEM INTERFACE ${boring_include})
target_include_directories(dep::boringssl SYSTEM INTERFACE ${boring_include})
