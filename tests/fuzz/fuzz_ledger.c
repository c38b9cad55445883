/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ledger - the ledger beside a model that is as simple as can be: entries are put, replaced,
 * removed, expire, and (where the first byte says so) are written, closed and read again.  After every
 * step both know the same: no entry is lost while it lives, none comes back, none that lives makes room,
 * and what is asked for one sender, recipient and message never answers for another (C-RCPT-06).
 *
 * One step is two bytes: what happens, and to which key or for how long.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/store/store.h"

#define MUST(x) ((x) ? (void)0 : abort())
#define PARTIES 3
#define KEYS (PARTIES * PARTIES * 3)
#define ROOM 8
#define HOUR (60 * 60 * 1000LL)
#define STEPS_MAX 200
#define REOPEN_MAX 4

/* In pairs that tempt: one is the other, cut elsewhere. */
static const char *const senders[PARTIES] = {"", "a@b", "A@b"};
static const char *const senders_otherwise[PARTIES] = {"", "a@B.", "A@B"};
static const char *const recipients[PARTIES] = {"a@b", "a@ba", "ba@b"};

struct model {
    struct {
        bool there;
        int code;
        wall_ms until;
    } keys[KEYS];
    size_t count;
    int64_t keep;
    wall_ms now;
};

struct walk {
    struct model m;
    struct store *store;
    struct ledger *l;
    char path[64];
    bool disk;
    uint64_t ticket;
    unsigned reopened;
};

static void open_store(struct walk *w)
{
    w->store = store_open(&(struct store_params){.path = w->path,
                                                 .policies_max = 1,
                                                 .rungs_max = 1,
                                                 .ledger_max = ROOM,
                                                 .ledger_keep = w->m.keep},
                          NULL);
    w->l = store_ledger(w->store);
    MUST(store_lasting(w->store) == w->disk);
}

static struct ledger_entry entry_of(const struct walk *w, unsigned key)
{
    struct ledger_entry e = {.sender = senders[key % PARTIES],
                             .recipient = recipients[key / PARTIES % PARTIES],
                             .outcome = LEDGER_REFUSED,
                             .code = 500 + (int)(key * 7 + (unsigned)(w->m.now / HOUR)) % 100,
                             .reply = "no",
                             .mx = "mx",
                             .at = w->m.now};

    e.digest[key % LEDGER_DIGEST_SIZE] = (uint8_t)(key / PARTIES / PARTIES);
    return e;
}

static void model_purge(struct model *m, size_t more)
{
    if (m->count + more <= ROOM)
        return;
    for (unsigned k = 0; k < KEYS; k++)
        if (m->keys[k].there && m->keys[k].until <= m->now) {
            m->keys[k].there = false;
            m->count--;
        }
}

static void put(struct walk *w, unsigned key, unsigned n)
{
    struct ledger_entry e[4];
    struct model *m = &w->m;
    bool all = true;

    for (unsigned i = 0; i < n; i++)
        e[i] = entry_of(w, (key + i) % KEYS);
    model_purge(m, n);
    for (unsigned i = 0; i < n; i++) {
        unsigned k = (key + i) % KEYS;

        if (!m->keys[k].there && m->count == ROOM) {
            all = false;
            continue;
        }
        m->count += !m->keys[k].there;
        m->keys[k].there = true;
        m->keys[k].code = e[i].code;
        m->keys[k].until = m->now + m->keep;
    }
    MUST(ledger_put(w->l, e, n, &w->ticket) == all);
}

static void remove_key(struct walk *w, unsigned key)
{
    struct ledger_entry e = entry_of(w, key);

    e.sender = senders_otherwise[key % PARTIES];
    ledger_remove(w->l, &e);
    w->m.count -= w->m.keys[key].there;
    w->m.keys[key].there = false;
}

static void settled(struct walk *w)
{
    enum ledger_state state;

    if (w->disk)
        MUST(store_flush(w->store, 20000));
    state = ledger_settled(w->l, w->ticket);
    if (w->ticket != 0)
        MUST(state == (w->disk ? LEDGER_DURABLE : LEDGER_FAILED));
}

static void reopen(struct walk *w)
{
    if (!w->disk || w->reopened++ == REOPEN_MAX)
        return;
    store_close(&w->store);
    open_store(w);
    w->ticket = 0;
}

static void ready(struct walk *w, size_t more)
{
    bool is;

    settled(w); /* so that the last write is over */
    is = ledger_ready(w->l, more, w->m.now);
    if (!w->disk) {
        MUST(!is);
        return;
    }
    model_purge(&w->m, more);
    MUST(is == (w->m.count + more <= ROOM));
}

static void check_pair(struct walk *w, unsigned sender, unsigned recipient)
{
    struct slice from = slice_str(senders_otherwise[sender]);
    struct slice to = slice_str(recipients[recipient]);
    struct ledger_view *v = ledger_find(w->l, from, to, w->m.now);
    size_t n = 0;

    for (unsigned d = 0; d < 3; d++) {
        unsigned k = sender + PARTIES * (recipient + PARTIES * d);
        struct ledger_entry e = entry_of(w, k);
        bool seen = false;

        for (size_t i = 0; v != NULL && i < v->count; i++)
            if (memcmp(v->entries[i].digest, e.digest, sizeof(e.digest)) == 0) {
                MUST(!seen);
                seen = true;
                MUST(v->entries[i].code == w->m.keys[k].code);
                MUST(v->entries[i].until == w->m.keys[k].until);
                MUST(strcmp(v->entries[i].sender, e.sender) == 0);
                MUST(strcmp(v->entries[i].recipient, e.recipient) == 0);
            }
        MUST(seen == (w->m.keys[k].there && w->m.keys[k].until > w->m.now));
        n += seen;
    }
    MUST((v != NULL ? v->count : 0) == n);
    for (size_t i = 1; i < n; i++)
        MUST(v->entries[i - 1].at >= v->entries[i].at);
    MUST(ledger_knows(w->l, from, to, w->m.now) == (n > 0));
    ledger_view_free(&v);
}

static void check(struct walk *w)
{
    MUST(ledger_count(w->l) == w->m.count);
    for (unsigned s = 0; s < PARTIES; s++)
        for (unsigned r = 0; r < PARTIES; r++)
            check_pair(w, s, r);
}

static void step(struct walk *w, uint8_t what, uint8_t arg)
{
    switch (what % 8) {
    case 0:
    case 1:
        put(w, arg % KEYS, 1);
        break;
    case 2:
        put(w, arg % KEYS, 1 + arg / KEYS % 4);
        break;
    case 3:
        remove_key(w, arg % KEYS);
        break;
    case 4:
        w->m.now += arg * HOUR / 4;
        break;
    case 5:
        w->m.keep = (1 + arg % 48) * HOUR;
        ledger_set_keep(w->l, w->m.keep);
        break;
    case 6:
        ready(w, arg % (ROOM + 2));
        break;
    case 7:
        reopen(w);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
    /* Not in the past, where the store's thread would drop them. */
    struct walk w = {.m = {.keep = 24 * HOUR, .now = (wall_ms)time(NULL) / 3600 * HOUR + HOUR}};
    static const char *const tails[] = {"", "-wal", "-shm"};

    if (n == 0)
        return 0;
    w.disk = in[0] % 4 == 1; /* seldom: it is slow */
    if (w.disk)
        (void)snprintf(w.path, sizeof(w.path), "/tmp/fuzz-ledger-%d", (int)getpid());
    open_store(&w);
    for (size_t i = 1; i + 1 < n && i < 2 * STEPS_MAX; i += 2) {
        step(&w, in[i], in[i + 1]);
        check(&w);
    }
    settled(&w);
    store_close(&w.store);
    for (size_t i = 0; w.disk && i < 3; i++) {
        char path[80];

        (void)snprintf(path, sizeof(path), "%s%s", w.path, tails[i]);
        (void)unlink(path);
    }
    return 0;
}
