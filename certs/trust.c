/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      trust - trust stores: roots, extra roots, CRLs
 */
#include "certs/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/trust_internal.h"
#include "proxy/base/mem.h"

#define TRUST_FILE_MAX (64L * 1024 * 1024) /* far above any bundle; big CRLs exist */

#define MEND_BUNDLE "install ca-certificates or set tls.trust_store"
#define MEND_EXTRA "check ca_file of the destination"
#define MEND_CRL "fetch the list again or take it out of the CRL files"

static struct trust_store *trust_new(void)
{
    struct trust_store *t = mem_zalloc(sizeof(*t));

    atomic_init(&t->holds, 1);
    return t;
}

static void trust_free(struct trust_store *t)
{
    for (size_t i = 0; i < t->anchor_count; i++)
        cert_free(t->anchors[i]);
    for (size_t i = 0; i < t->crl_count; i++)
        crl_free(t->crls[i]);
    for (size_t i = 0; i < t->file_count; i++)
        free(t->files[i].path);
    free((void *)t->anchors);
    free((void *)t->crls);
    free(t->files);
    free(t);
}

const struct cert *trust_find(const struct trust_store *t, const struct cert *c)
{
    for (size_t i = 0; i < t->anchor_count; i++)
        if (cert_same(t->anchors[i], c))
            return t->anchors[i];
    return NULL;
}

/* False: it cannot be read.  The same certificate twice is held once. */
static bool add_anchor(struct trust_store *t, struct slice der)
{
    struct cert *c = cert_parse(der);

    if (c->broken != NULL) {
        cert_free(c);
        return false;
    }
    if (trust_find(t, c) != NULL) {
        cert_free(c);
        return true;
    }
    if (t->anchor_count == t->anchor_room) {
        t->anchor_room = t->anchor_room > 0 ? t->anchor_room * 2 : 32;
        t->anchors = mem_resize((void *)t->anchors, t->anchor_room, sizeof(struct cert *));
    }
    t->anchors[t->anchor_count++] = c;
    return true;
}

static void add_crl(struct trust_store *t, struct crl *c)
{
    t->crls = mem_resize((void *)t->crls, t->crl_count + 1, sizeof(struct crl *));
    t->crls[t->crl_count++] = c;
}

static void remember_file(struct trust_store *t, const char *path, const struct stat *st)
{
    t->files = mem_resize(t->files, t->file_count + 1, sizeof(*t->files));
    t->files[t->file_count++] = (struct trust_file){.path = mem_strdup(path), .at_load = *st};
}

/* The whole file as it was at one open(); *error says why not. */
static char *read_whole(int fd, const struct stat *st, size_t *n)
{
    size_t room = (size_t)st->st_size + 1;
    char *text = mem_zalloc(room);

    for (*n = 0; *n < room;) {
        ssize_t got = read(fd, text + *n, room - *n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(text);
            return NULL;
        }
        if (got == 0)
            break;
        *n += (size_t)got;
    }
    return text;
}

static char *read_file(struct trust_store *t, const char *path, size_t *n, const char *mend,
                       struct buf *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    char *text = NULL;

    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)buf_addf(error, "%s: cannot be read (%s): %s", path, strerror(errno), mend);
    } else if (!S_ISREG(st.st_mode) || st.st_size > TRUST_FILE_MAX) {
        (void)buf_addf(error, "%s: is %s: %s", path,
                       S_ISREG(st.st_mode) ? "larger than 64MiB" : "not a regular file", mend);
    } else {
        text = read_whole(fd, &st, n);
        if (text == NULL)
            (void)buf_addf(error, "%s: cannot be read (%s): %s", path, strerror(errno), mend);
        else
            remember_file(t, path, &st);
    }
    if (fd >= 0)
        (void)close(fd);
    return text;
}

/* ---- the digest of the content ---- */

_Static_assert(TRUST_DIGEST_LENGTH == SHA256_DIGEST_LENGTH, "it is a SHA-256");

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, TRUST_DIGEST_LENGTH);
}

/* The digests are sorted: in which order the files name their content does not matter. */
static void digest_kind(SHA256_CTX *sum, unsigned char (*digests)[TRUST_DIGEST_LENGTH],
                        uint64_t count)
{
    if (count > 0)
        qsort(digests, (size_t)count, TRUST_DIGEST_LENGTH, compare_digests);
    SHA256_Update(sum, &count, sizeof(count));
    SHA256_Update(sum, digests, (size_t)count * TRUST_DIGEST_LENGTH);
}

static void make_digest(struct trust_store *t)
{
    size_t most = t->anchor_count > t->crl_count ? t->anchor_count : t->crl_count;
    unsigned char(*digests)[TRUST_DIGEST_LENGTH] = mem_array(most + 1, TRUST_DIGEST_LENGTH);
    SHA256_CTX sum;

    SHA256_Init(&sum);
    for (size_t i = 0; i < t->anchor_count; i++)
        SHA256((const uint8_t *)t->anchors[i]->der.p, t->anchors[i]->der.n, digests[i]);
    digest_kind(&sum, digests, t->anchor_count);
    for (size_t i = 0; i < t->crl_count; i++)
        SHA256((const uint8_t *)t->crls[i]->der.p, t->crls[i]->der.n, digests[i]);
    digest_kind(&sum, digests, t->crl_count);
    SHA256_Final(t->digest, &sum);
    free(digests);
}

const unsigned char *trust_digest(const struct trust_store *t)
{
    return t->digest;
}

/* ---- loading ---- */

struct load {
    struct trust_store *store;
    size_t blocks, added;
    const char *why; /* the last block that could not be used */
};

static void take_certificate(void *arg, struct slice label, struct slice der)
{
    struct load *l = arg;

    if (!slice_eq(label, SLICE("CERTIFICATE")) && !slice_eq(label, SLICE("X509 CERTIFICATE")))
        return;
    l->blocks++;
    if (der.p != NULL && add_anchor(l->store, der))
        l->added++;
    else
        l->store->skipped++;
}

static bool load_anchors(struct trust_store *t, const char *path, const char *mend,
                         struct buf *error)
{
    struct load l = {.store = t};
    size_t n;
    char *text = read_file(t, path, &n, mend, error);

    if (text == NULL)
        return false;
    pem_each(slice_of(text, n), take_certificate, &l);
    free(text);
    if (l.added > 0)
        return true;
    if (l.blocks > 0)
        (void)buf_addf(error, "%s: holds no certificate that can be read (%zu cannot): %s", path,
                       l.blocks, mend);
    else
        (void)buf_addf(error, "%s: holds no certificate: %s", path, mend);
    return false;
}

static void take_crl(void *arg, struct slice label, struct slice der)
{
    struct load *l = arg;
    const char *why = "it is no base64";
    struct crl *c;

    if (!slice_eq(label, SLICE("X509 CRL")))
        return;
    l->blocks++;
    c = der.p != NULL ? crl_parse(der, &why) : NULL;
    if (c == NULL) {
        l->why = why;
        return;
    }
    l->added++;
    add_crl(l->store, c);
}

/* A list that is configured and cannot be used is an error: its absence would be silent trust. */
static bool load_crls(struct trust_store *t, const char *path, struct buf *error)
{
    struct load l = {.store = t};
    size_t n;
    char *text = read_file(t, path, &n, MEND_CRL, error);

    if (text == NULL)
        return false;
    if (slice_ihas(slice_first(slice_of(text, n), 65536), SLICE("-----BEGIN")))
        pem_each(slice_of(text, n), take_crl, &l);
    else
        take_crl(&l, SLICE("X509 CRL"), slice_of(text, n));
    free(text);
    if (l.blocks > 0 && l.why == NULL)
        return true;
    (void)buf_addf(error, "%s: holds no usable revocation list (%s): %s", path,
                   l.why != NULL ? l.why : "there is none", MEND_CRL);
    return false;
}

struct trust_store *trust_load(const struct trust_params *p, struct buf *error)
{
    struct trust_store *t = trust_new();
    bool good = true;

    if (p->bundle != NULL)
        good = load_anchors(t, p->bundle, MEND_BUNDLE, error);
    if (good && p->extra != NULL)
        good = load_anchors(t, p->extra, MEND_EXTRA, error);
    for (size_t i = 0; good && i < p->crl_count; i++)
        good = load_crls(t, p->crl_files[i], error);
    if (good && t->anchor_count == 0) {
        (void)buf_add(error, SLICE("no trust store is configured: set tls.trust_store"));
        good = false;
    }
    if (good) {
        make_digest(t);
        return t;
    }
    trust_free(t);
    return NULL;
}

struct trust_store *trust_from_der(const struct slice *anchors, size_t count, struct buf *error)
{
    struct trust_store *t = trust_new();

    for (size_t i = 0; i < count; i++)
        if (!add_anchor(t, anchors[i]))
            t->skipped++;
    if (t->anchor_count > 0 || count == 0) {
        make_digest(t);
        return t;
    }
    (void)buf_add(error, SLICE("none of the anchors is a certificate that can be read"));
    trust_free(t);
    return NULL;
}

struct trust_store *trust_hold(struct trust_store *t)
{
    atomic_fetch_add_explicit(&t->holds, 1, memory_order_relaxed);
    return t;
}

void trust_drop(struct trust_store **t)
{
    if (*t != NULL && atomic_fetch_sub_explicit(&(*t)->holds, 1, memory_order_acq_rel) == 1)
        trust_free(*t);
    *t = NULL;
}

size_t trust_roots(const struct trust_store *t)
{
    return t->anchor_count;
}

size_t trust_skipped(const struct trust_store *t)
{
    return t->skipped;
}

wall_ms trust_file_time(const struct trust_store *t)
{
    wall_ms newest = 0;

    for (size_t i = 0; i < t->file_count; i++) {
        const struct timespec *m = &t->files[i].at_load.st_mtim;
        wall_ms at = (wall_ms)m->tv_sec * 1000 + m->tv_nsec / 1000000;

        newest = at > newest ? at : newest;
    }
    return newest;
}

bool trust_changed(const struct trust_store *t)
{
    for (size_t i = 0; i < t->file_count; i++) {
        const struct stat *old = &t->files[i].at_load;
        struct stat st;

        if (stat(t->files[i].path, &st) != 0 || st.st_size != old->st_size ||
            st.st_ino != old->st_ino || st.st_dev != old->st_dev ||
            st.st_mtim.tv_sec != old->st_mtim.tv_sec || st.st_mtim.tv_nsec != old->st_mtim.tv_nsec)
            return true;
    }
    return false;
}
