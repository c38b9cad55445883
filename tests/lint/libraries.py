#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The program that was built: no second TLS or crypto library is in the process, the hardening that
cmake/Flags.cmake promises is there, and the pure layers call nothing that touches the world."""
import re
import subprocess

from tree import BUILD, ROOT, Lint

SECOND = re.compile(r"libgnutls|libnss3|libmbedtls|libwolfssl|libgcrypt|libevent_openssl|lib(ssl|crypto)\b")
OURS = "/android/"   # Debian's BoringSSL; one of -DBORINGSSL_ROOT is inside the program
PURE = ["base", "smtp", "policy", "dialog"]
# Sockets, files, clocks, processes, the environment, randomness.
WORLD = set("""socket connect bind listen accept accept4 send sendto sendmsg recv recvfrom recvmsg
    getaddrinfo gethostbyname open open64 openat fopen fopen64 creat read write pread pwrite unlink rename
    stat stat64 fstat fork execve system popen time gettimeofday clock_gettime localtime localtime_r
    gmtime mktime sleep usleep nanosleep getenv setenv rand random srand getrandom pthread_create
    pthread_mutex_lock""".split())


def output(*command):
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def check_program(lint, program):
    code, listing = output("ldd", str(program))
    if code:
        lint.fail(f"ldd failed: {listing.strip()[:200]}", program)
        return
    for line in listing.splitlines():
        if SECOND.search(line) and OURS not in line:
            lint.fail("a second TLS or crypto library is in the process: " + line.strip(), program)
        if "not found" in line:
            lint.fail("a library is not found: " + line.strip(), program)
    _, header = output("readelf", "-hdlW", str(program))
    if "Type:" in header and "DYN" not in header.split("Type:")[1].split("\n")[0]:
        lint.fail("not a position-independent executable", program)
    if "BIND_NOW" not in header and "NOW" not in header:
        lint.fail("lazy binding", program)
    if "GNU_RELRO" not in header:
        lint.fail("no RELRO", program)
    if re.search(r"GNU_STACK.*RWE", header):
        lint.fail("executable stack", program)


def check_pure(lint, layer):
    library = BUILD / f"libtlsmend_{layer}.a"
    if not library.is_file():
        lint.fail("the layer is not built", library)
        return
    _, listing = output("nm", "-u", str(library))
    for name in sorted({line.split()[-1].split("@")[0] for line in listing.splitlines()
                        if line.strip().startswith("U ")} & WORLD):
        lint.fail(f"the pure layer {layer} calls {name}()", library)
    _, listing = output("nm", "--format=sysv", str(library))
    for line in listing.splitlines():
        columns = [c.strip() for c in line.split("|")]
        if len(columns) == 7 and columns[6] in {".bss", ".data"} and columns[3] == "OBJECT":
            lint.fail(f"the pure layer {layer} has a variable that lives: {columns[0]}", library)


def main():
    lint = Lint("libraries")
    program = BUILD / "tlsmend"
    if program.is_file():
        check_program(lint, program)
        for layer in PURE:
            check_pure(lint, layer)
    else:
        lint.fail(f"no program: cmake --preset release && cmake --build --preset release "
                  f"(in {ROOT.name})", program)
    lint.end()


main()
