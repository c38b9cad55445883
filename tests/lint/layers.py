#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The layer table of docs/architecture.md: what each layer may include, and what CMake links.

Our own headers go by rows: a layer includes itself and the layers of its row.  A foreign header is
included in .c files of the one layer that owns the library, or in a header *_internal.h of that layer,
which only the layer's own .c files include.  No circles among our headers.
"""
import re

from tree import ROOT, Lint, files, text

# layer: (folder, layers it may include, foreign headers it owns)
LAYERS = {
    "base": ("proxy/base", set(), []),
    "smtp": ("proxy/smtp", {"base"}, []),
    "policy": ("proxy/policy", {"base", "smtp"}, [r"libpsl\.h"]),
    "certs": ("certs", {"base", "policy"}, [r"openssl/(?!ssl|tls1).*"]),
    "config": ("config", {"base", "policy"}, [r"libconfig\.h"]),
    "dialog": ("proxy/dialog", {"base", "smtp", "policy"}, []),
    "net": ("proxy/net", {"base", "policy", "certs"},
            [r"event2/.*", r"unbound\.h", r"http_parser\.h", r"openssl/(?!x509|ocsp).*"]),
    "store": ("proxy/store", {"base", "policy"}, [r"sqlite3\.h"]),
    "relay": ("proxy/relay", {"base", "smtp", "policy", "certs", "config", "dialog", "net", "store"},
              []),
    "cli": ("proxy/cli", {"base", "smtp", "policy", "certs", "config", "dialog", "net", "store",
                          "relay"}, [r"jansson\.h"]),
}
FOREIGN_TARGETS = {  # CMake's names of the foreign libraries
    "policy": {"dep::psl"}, "certs": {"dep::boringcrypto"}, "config": {"dep::config"},
    "net": {"dep::boringssl", "dep::event", "dep::http", "dep::unbound", "Threads::Threads"},
    "store": {"dep::sqlite", "Threads::Threads"}, "relay": {"Threads::Threads"},
    "cli": {"dep::jansson"},
}
LIBC = re.compile(r"(assert|ctype|dirent|elf|errno|inttypes|limits|malloc|math|signal|stdalign|stdarg|stdatomic|stdbool|"
                  r"stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|time|fcntl|getopt|grp|"
                  r"netdb|poll|pthread|pwd|sched|syslog|unistd|arpa/inet|net/if|ifaddrs|"
                  r"netinet/[a-z]+|sys/[a-z]+|linux/[a-z_]+)\.h")
PURE_FORBIDDEN = re.compile(r"(sys/(socket|stat|epoll|un|time|mman|file)|dirent|malloc|fcntl|unistd|pthread|netdb|"
                            r"poll|signal|time|ifaddrs|syslog)\.h")
PURE = {"base", "smtp", "policy", "dialog"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def layer_of(path):
    for name, (folder, _, _) in LAYERS.items():
        if path.startswith(folder + "/"):
            return name
    return None


def check_includes(lint, graph):
    for path in files():
        name = str(path.relative_to(ROOT))
        layer = layer_of(name)
        if layer is None or path.suffix not in {".c", ".h", ".def"}:
            continue
        _, may, foreign = LAYERS[layer]
        body = text(path)
        for match in INCLUDE.finditer(body):
            line = body.count("\n", 0, match.start()) + 1
            kind, header = match.groups()
            if kind == '"':
                check_own(lint, path, name, layer, may, header, line)
                if path.suffix == ".h":
                    graph.setdefault(name, []).append((header, line))
            else:
                check_foreign(lint, path, layer, foreign, header, line)


def check_own(lint, path, name, layer, may, header, line):
    if not (ROOT / header).is_file():
        lint.fail(f'"{header}" is no file: includes are written from the root of the tree', path, line)
        return
    to = layer_of(header)
    if to is None:
        lint.fail(f'"{header}" belongs to no layer', path, line)
    elif to != layer and to not in may:
        lint.fail(f'{layer} may not include {to} ("{header}")', path, line)
    elif header.endswith("_internal.h"):
        if to != layer:
            lint.fail(f'"{header}" is internal to {to}', path, line)
        elif path.suffix == ".h" and not name.endswith("_internal.h"):
            lint.fail(f'"{header}" is internal and is included by a public header', path, line)


def check_foreign(lint, path, layer, foreign, header, line):
    if any(re.fullmatch(pattern, header) for pattern in foreign):
        if path.suffix == ".h" and not path.name.endswith("_internal.h"):
            lint.fail(f"foreign header <{header}> in one of our headers", path, line)
    elif not LIBC.fullmatch(header):
        lint.fail(f"foreign header <{header}> in layer {layer}", path, line)
    elif layer in PURE and PURE_FORBIDDEN.fullmatch(header):
        lint.fail(f"<{header}> in the pure layer {layer}", path, line)


def check_circles(lint, graph):
    done, stack = set(), []

    def visit(header):
        if header in stack:
            lint.fail("headers include each other: " + " -> ".join(stack[stack.index(header):]
                                                                  + [header]), ROOT / header)
            return
        if header in done:
            return
        stack.append(header)
        for to, _ in graph.get(header, []):
            visit(to)
        stack.pop()
        done.add(header)

    for header in sorted(graph):
        visit(header)
    # Layers of the table must not depend on each other in a circle either.
    for layer, (_, may, _) in LAYERS.items():
        for other in may:
            if layer in LAYERS[other][1]:
                lint.fail(f"the layer table has a circle: {layer} and {other}")


def check_cmake(lint):
    path = ROOT / "CMakeLists.txt"
    body = text(path)
    seen = set()
    for match in re.finditer(r"^tlsmend_layer\(([^)]*)\)", body, re.M):
        words = match.group(1).split()
        line = body.count("\n", 0, match.start()) + 1
        name, folder = words[:2]
        seen.add(name)
        lists, into = {"KNOWS": set(), "FOREIGN": set()}, None
        for word in words[2:]:
            if word in lists:
                into = lists[word]
            elif into is not None:
                into.add(word)
        if name not in LAYERS:
            lint.fail(f"layer {name} is not in the table", path, line)
            continue
        if folder != LAYERS[name][0]:
            lint.fail(f"layer {name} lies in {folder}", path, line)
        for known in sorted(lists["KNOWS"] - LAYERS[name][1]):
            lint.fail(f"{name} may not be linked to {known}", path, line)
        for dep in sorted(lists["FOREIGN"] - FOREIGN_TARGETS.get(name, set())):
            lint.fail(f"{name} may not be linked to {dep}", path, line)
    for name in sorted(set(LAYERS) - seen):
        lint.fail(f"layer {name} is not built as a library of its own", path)
    # The program is linked to layers only; foreign libraries come in through the layer that owns them.
    for match in re.finditer(r"target_link_libraries\(tlsmend\s+PRIVATE\s+([^)]*)\)", body):
        line = body.count("\n", 0, match.start()) + 1
        for word in match.group(1).split():
            if not word.startswith("tlsmend_"):
                lint.fail(f"the program is linked to {word}", path, line)


def main():
    lint = Lint("layers")
    graph = {}
    check_includes(lint, graph)
    check_circles(lint, graph)
    check_cmake(lint)
    lint.end()


main()
