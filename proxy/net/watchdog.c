/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog - see watchdog_internal.h for the contract. */
#include "proxy/net/watchdog_internal.h"

#ifdef TLSMEND_WATCHDOG

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/net/loop.h"

#define MS 1000000 /* in nanoseconds, as all times here */
#define NAME_MAX_TEXT 128

struct piece {
    const char *kind;
    uintptr_t where;
    int64_t took;
};

struct watchdog {
    bool attached, silenced;
    int waits; /* schedstat of the thread; -1: the kernel keeps none, and waiting counts */
    int64_t began, waited;
    struct piece now, longest;
    int64_t now_began;
};

static int64_t clock_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* How long the thread has waited for a processor since it was made: the second figure. */
static int64_t waited_ns(const struct watchdog *w)
{
    char text[96];
    ssize_t n = w->waits >= 0 ? pread(w->waits, text, sizeof(text) - 1, 0) : -1;
    char *second;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    second = strchr(text, ' ');
    return second != NULL ? strtoll(second, NULL, 10) : 0;
}

struct watchdog *watchdog_new(void)
{
    struct watchdog *w = mem_zalloc(sizeof(*w));

    w->waits = -1;
    return w;
}

void watchdog_free(struct watchdog **watchdog)
{
    if (*watchdog != NULL)
        watchdog_detach(*watchdog);
    free(*watchdog);
    *watchdog = NULL;
}

void watchdog_silence(struct watchdog *w)
{
    w->silenced = true;
}

void watchdog_attach(struct watchdog *w)
{
    if (w->silenced)
        return;
    w->waits = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    w->attached = true;
}

void watchdog_detach(struct watchdog *w)
{
    if (w->waits >= 0)
        (void)close(w->waits);
    w->waits = -1;
    w->attached = false;
}

/* ---- the name of a function ---- */

extern const char __executable_start[]; /* of the linker */

/* Static functions have names too, in the symbol table of the program's file, which the dynamic linker does not
 * load.  Of a local symbol the last file symbol before it is the source. */
static bool find_symbol(const char *image, size_t size, uintptr_t at, char out[NAME_MAX_TEXT])
{
    const Elf64_Ehdr *head = (const void *)image;
    const Elf64_Shdr *sections = (const void *)(image + head->e_shoff);
    const char *file = "";

    if (head->e_ident[EI_CLASS] != ELFCLASS64 ||
        head->e_shoff + head->e_shnum * sizeof(*sections) > size)
        return false;
    for (size_t i = 0; i < head->e_shnum; i++) {
        const Elf64_Sym *symbols = (const void *)(image + sections[i].sh_offset);
        const char *names;

        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        names = image + sections[sections[i].sh_link].sh_offset;
        for (size_t k = 0; k < sections[i].sh_size / sizeof(*symbols); k++) {
            const Elf64_Sym *s = &symbols[k];

            if (ELF64_ST_TYPE(s->st_info) == STT_FILE)
                file = names + s->st_name;
            if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || at < s->st_value ||
                at - s->st_value >= s->st_size)
                continue;
            if (ELF64_ST_BIND(s->st_info) != STB_LOCAL)
                file = "";
            (void)snprintf(out, NAME_MAX_TEXT, "%s%s%s", file, *file != '\0' ? ":" : "",
                           names + s->st_name);
            return true;
        }
    }
    return false;
}

/* "stream.c:on_readable", or an address for addr2line(1) where the program was stripped. */
static void name_of(uintptr_t where, char out[NAME_MAX_TEXT])
{
    uintptr_t at = where - (uintptr_t)__executable_start;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *image = MAP_FAILED;
    struct stat file;
    bool found = false;

    if (fd >= 0 && fstat(fd, &file) == 0)
        image = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image != MAP_FAILED) {
        found = find_symbol(image, (size_t)file.st_size, at, out);
        (void)munmap(image, (size_t)file.st_size);
    }
    if (fd >= 0)
        (void)close(fd);
    if (!found)
        (void)snprintf(out, NAME_MAX_TEXT, "0x%zx", (size_t)at);
}

/* ---- the turn ---- */

static void end_piece(struct watchdog *w, int64_t now)
{
    w->now.took = now - w->now_began;
    if (w->now.took > w->longest.took)
        w->longest = w->now;
    w->now_began = now;
}

void watchdog_turn(struct watchdog *w, uintptr_t where)
{
    if (!w->attached)
        return;
    w->waited = waited_ns(w);
    w->began = w->now_began = clock_ns();
    w->longest.took = -1;
    w->now.kind = "event";
    w->now.where = where;
}

void watchdog_next(struct watchdog *w, const char *kind, uintptr_t where)
{
    if (!w->attached)
        return;
    end_piece(w, clock_ns());
    w->now.kind = kind;
    w->now.where = where;
}

void watchdog_turned(struct watchdog *w)
{
    char name[NAME_MAX_TEXT], line[NAME_MAX_TEXT + 64];
    int64_t now, took;
    int n;

    if (!w->attached)
        return;
    now = clock_ns();
    end_piece(w, now);
    if (now - w->began <= (int64_t)LOOP_BLOCKED_MS * MS)
        return;
    took = now - w->began - (waited_ns(w) - w->waited);
    if (took <= (int64_t)LOOP_BLOCKED_MS * MS)
        return;
    name_of(w->longest.where, name);
    n = snprintf(line, sizeof(line), "tlsmend: loop blocked for %lld ms in %s (%s)\n",
                 (long long)(took / MS), name, w->longest.kind);
    (void)!write(STDERR_FILENO, line, (size_t)n); /* whole, beside what other threads write */
}

#endif
