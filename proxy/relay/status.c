/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include "proxy/relay/status.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/net/tls_sessions.h"
#include "proxy/relay/destinations.h"
#include "proxy/relay/pool.h"
#include "proxy/relay/upstream.h"

static void put_count(struct record *r, const char *key, size_t n)
{
    record_int(r, key, (int64_t)n);
}

void status_log_worker(const struct services *sv, const struct session_list *sessions,
                       unsigned index)
{
    struct record *r = record_new("status", RECORD_INFO, loop_wall());
    struct pool_usage pool;
    size_t session_bytes, transaction_bytes;

    pool_usage(sv->pool, &pool);
    session_list_memory(sessions, &session_bytes, &transaction_bytes);
    record_cstr(r, "scope", "worker");
    record_int(r, "worker", index);
    put_count(r, "sessions", sessions->count);
    put_count(r, "connections", pool.open);
    put_count(r, "connections_idle", pool.idle);
    record_int(r, "connections_opened", (int64_t)pool.opened);
    record_int(r, "connections_reused", (int64_t)pool.reused);
    record_int(r, "connections_died_idle", (int64_t)pool.died_idle);
    put_count(r, "destinations", destinations_count(sv->destinations));
    put_count(r, "bytes_sessions", session_bytes);
    put_count(r, "bytes_transactions", transaction_bytes);
    put_count(r, "bytes_connections", upstreams_memory(sv));
    put_count(r, "bytes_destinations", destinations_memory(sv->destinations));
    log_record(sv->log, r);
}

/* -1: the system does not tell. */
static int64_t open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int64_t n = -3; /* ".", ".." and the directory itself */

    if (d == NULL)
        return -1;
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

static int64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128]; /* pages: all, resident, ... */
    char *resident, *end;
    long long pages = -1;

    if (f == NULL)
        return -1;
    if (fgets(line, sizeof(line), f) != NULL && (resident = strchr(line, ' ')) != NULL) {
        pages = strtoll(resident, &end, 10);
        if (end == resident)
            pages = -1;
    }
    (void)fclose(f);
    return pages >= 0 ? pages * sysconf(_SC_PAGESIZE) : -1;
}

void status_log_process(const struct services *sv, const struct status_process *p)
{
    struct record *r = record_new("status", RECORD_INFO, loop_wall());
    struct mallinfo2 heap = mallinfo2();
    int64_t files = open_files(), resident = resident_bytes();

    record_cstr(r, "scope", "process");
    record_int(r, "uptime", (clock_mono() - p->started) / 1000);
    record_int(r, "workers", p->workers);
    record_int(r, "sessions", p->sessions);
    if (files >= 0)
        record_int(r, "descriptors", files);
    put_count(r, "tls_sessions", tls_sessions_count(sv->tls_sessions));
    put_count(r, "bytes_tls_sessions", tls_sessions_memory(sv->tls_sessions));
    put_count(r, "bytes_heap", heap.uordblks + heap.hblkhd);
    put_count(r, "bytes_heap_free", heap.fordblks);
    if (resident >= 0)
        record_int(r, "bytes_resident", resident);
    log_record(sv->log, r);
}
