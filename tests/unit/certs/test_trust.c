/* SPDX-License-Identifier: Apache-2.0 */
/* Trust stores from files, and revocation lists (C-CERT-08, C-CERT-09). */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "tests/unit/certs/judge_case.h"

static const char *const dns[] = {"mx.test", NULL};
static char folder[] = "/tmp/tlsmend-trust-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static char *path_of(const char *name)
{
    return mem_format("%s/%s", folder, name);
}

static void write_file(const char *path, struct slice text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

static struct trust_store *load(const char *bundle, const char *extra, const char *crl, char *why)
{
    struct trust_params p = {
        .bundle = bundle, .extra = extra, .crl_files = &crl, .crl_count = crl != NULL ? 1 : 0};
    struct trust_store *t;
    struct buf error;

    buf_init(&error, 1000);
    t = trust_load(&p, &error);
    (void)snprintf(why, 1000, "%s", buf_cstr(&error));
    assert_int_equal(t == NULL, error.n > 0);
    buf_clear(&error);
    return t;
}

/* A bundle of text blocks: R and S are roots, B a block of broken base64, D one that is no certificate,
 * U one without an end, K a key, t other text. */
static const struct bundle_row {
    const char *name, *blocks;
    size_t roots, skipped;
    const char *error; /* NULL: it loads */
} bundles[] = {
    {"one", "R", 1, 0, NULL},
    {"two with text between", "tRtSt", 2, 0, NULL},
    {"the same twice", "RR", 1, 0, NULL},
    {"broken ones between", "BRDS", 2, 2, NULL},
    {"one without an end", "URS", 2, 1, NULL},
    {"one without an end at the end", "RU", 1, 1, NULL},
    {"with a key", "KR", 1, 0, NULL},
    {"with CRLF", "cR", 1, 0, NULL},
    {"nothing", "", 0, 0, "holds no certificate: install ca-certificates or set tls.trust_store"},
    {"only text", "tt", 0, 0, "holds no certificate:"},
    {"only a key", "K", 0, 0, "holds no certificate:"},
    {"only broken ones", "BDU", 0, 0, "holds no certificate that can be read (3 cannot)"},
};

static void add_block(struct buf *text, char kind, const char *r, const char *s)
{
    bool crlf = text->n > 0 && text->p[0] == '\r';
    const char *block =
        kind == 'R'   ? r
        : kind == 'S' ? s
        : kind == 'B' ? "-----BEGIN CERTIFICATE-----\nMII*\n-----END CERTIFICATE-----\n"
        : kind == 'D' ? "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        : kind == 'U' ? "-----BEGIN CERTIFICATE-----\nAAAA\n"
        : kind == 'K' ? "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        : kind == 'c' ? "\r\n"
                      : "# some text\n";

    for (const char *p = block; *p != '\0'; p++) {
        if (crlf && *p == '\n')
            assert_true(buf_addc(text, '\r'));
        assert_true(buf_addc(text, *p));
    }
}

static void bundles_c_cert_09(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make one = make_root("one", 1), two = make_root("two", 2);
    char *r = make_pem("CERTIFICATE", case_make(&c, &one));
    char *s = make_pem("CERTIFICATE", case_make(&c, &two));
    char *path = path_of("bundle.pem"), why[1000];

    (void)state;
    for (size_t i = 0; i < sizeof(bundles) / sizeof(bundles[0]); i++) {
        const struct bundle_row *row = &bundles[i];
        struct trust_store *t;
        struct buf text;

        buf_init(&text, 100000);
        for (const char *p = row->blocks; *p != '\0'; p++)
            add_block(&text, *p, r, s);
        write_file(path, buf_slice(&text));
        t = load(path, NULL, NULL, why);
        if ((t == NULL) != (row->error != NULL))
            fail_msg("%s: %s", row->name, why);
        if (t == NULL && row->error != NULL &&
            (strstr(why, row->error) == NULL || strstr(why, path) != why))
            fail_msg("%s: error is: %s", row->name, why);
        if (t != NULL) {
            assert_int_equal(trust_roots(t), row->roots);
            assert_int_equal(trust_skipped(t), row->skipped);
        }
        trust_drop(&t);
        assert_null(t);
        buf_clear(&text);
    }
    assert_int_equal(unlink(path), 0);
    free(path);
    free(r);
    free(s);
    case_end(&c);
}

static void files_that_cannot_be_read(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make one = make_root("one", 1);
    char *pem = make_pem("CERTIFICATE", case_make(&c, &one));
    char *path = path_of("one.pem"), why[1000];
    struct trust_store *t;

    (void)state;
    assert_null(load("/nonexistent/ca.pem", NULL, NULL, why));
    assert_non_null(strstr(why, "/nonexistent/ca.pem: cannot be read (No such file or directory): "
                                "install ca-certificates or set tls.trust_store"));
    assert_null(load(folder, NULL, NULL, why));
    assert_non_null(strstr(why, "not a regular file"));
    assert_null(load(NULL, NULL, NULL, why));
    assert_non_null(strstr(why, "set tls.trust_store"));
    write_file(path, slice_str(pem));
    assert_null(load(path, "/nonexistent/extra.pem", NULL, why));
    assert_non_null(strstr(why, "/nonexistent/extra.pem: cannot be read"));
    assert_non_null(strstr(why, "ca_file"));
    assert_null(load(path, NULL, "/nonexistent/list.crl", why));
    assert_non_null(strstr(why, "/nonexistent/list.crl: cannot be read"));
    assert_null(load(path, NULL, path, why)); /* a certificate is no list */
    assert_non_null(strstr(why, "holds no usable revocation list"));
    t = load(NULL, path, NULL, why);
    assert_non_null(t);
    trust_drop(&t);
    assert_int_equal(unlink(path), 0);
    free(path);
    free(pem);
    case_end(&c);
}

static void extra_anchors_and_holds(void **state)
{
    struct judge_case c = {.host = "mx.test"};
    struct make one = make_root("one", 1), root = make_root("root", 2);
    struct make middle = make_issuer("middle", 3, "root", 2), leaf = make_leaf(dns, 4, "middle", 3);
    char *bundle_pem = make_pem("CERTIFICATE", case_make(&c, &one)), *extra_pem;
    char *bundle = path_of("bundle.pem"), *extra = path_of("extra.pem"), why[1000];
    struct trust_store *other;

    (void)state;
    (void)case_make(&c, &root);
    extra_pem = make_pem("CERTIFICATE", case_make(&c, &middle));
    case_send(&c, case_make(&c, &leaf));
    write_file(bundle, slice_str(bundle_pem));
    write_file(extra, slice_str(extra_pem));
    c.trust = load(bundle, extra, NULL, why);
    assert_non_null(c.trust);
    assert_int_equal(trust_roots(c.trust), 2);
    assert_int_equal(case_judge(&c), REASON_OK); /* an intermediate is an anchor */
    other = trust_hold(c.trust);
    trust_drop(&c.trust);
    assert_int_equal(trust_roots(other), 2);
    trust_drop(&other);
    trust_drop(&other); /* nothing to drop is fine */
    assert_int_equal(unlink(bundle) + unlink(extra), 0);
    free(bundle);
    free(extra);
    free(bundle_pem);
    free(extra_pem);
    case_end(&c);
}

static void changes_are_seen_c_cert_09(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make one = make_root("one", 1);
    char *pem = make_pem("CERTIFICATE", case_make(&c, &one));
    char *path = path_of("watched.pem"), why[1000];
    struct timespec times[2] = {{.tv_sec = TEST_NOW, .tv_nsec = 5000000},
                                {.tv_sec = TEST_NOW, .tv_nsec = 5000000}};
    struct trust_store *t;

    (void)state;
    write_file(path, slice_str(pem));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    t = load(path, NULL, NULL, why);
    assert_non_null(t);
    assert_int_equal(trust_file_time(t), TEST_NOW * 1000 + 5);
    assert_false(trust_changed(t));
    times[1].tv_nsec++;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(trust_changed(t));
    times[1].tv_nsec--;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_false(trust_changed(t));
    assert_int_equal(unlink(path), 0);
    assert_true(trust_changed(t));
    trust_drop(&t);
    free(path);
    free(pem);
    case_end(&c);
}

enum listed { LIST_NOBODY, LIST_LEAF, LIST_MIDDLE, LIST_MANY /* the leaf among others */ };
enum list_of { OF_MIDDLE, OF_ROOT, OF_STRANGER };

static const struct crl_row {
    const char *name;
    struct make_crl crl;
    enum listed listed;
    enum list_of of;
    bool der;
    bool loads;
    enum reason want;
    const char *detail;
} lists[] = {
    {"empty list", .loads = true, .want = REASON_OK, .detail = ""},
    {"leaf revoked", .listed = LIST_LEAF, .loads = true, .want = REASON_CERT_REVOKED,
     .detail = "the leaf (CN=leaf) is on the revocation list"},
    {"leaf revoked, DER", .listed = LIST_LEAF, .der = true, .loads = true,
     .want = REASON_CERT_REVOKED},
    {"leaf and others revoked", .listed = LIST_MANY, .loads = true, .want = REASON_CERT_REVOKED},
    {"issuer revoked", .listed = LIST_MIDDLE, .of = OF_ROOT, .loads = true,
     .want = REASON_CERT_REVOKED, .detail = "the issuer (CN=middle) is on"},
    {"another issuer's list", .listed = LIST_LEAF, .of = OF_ROOT, .loads = true, .want = REASON_OK},
    {"forged list",
     {.issuer = "middle", .damage = true},
     .listed = LIST_LEAF,
     .loads = true,
     .want = REASON_OK},
    {"list signed by a stranger",
     {.issuer = "middle"},
     .listed = LIST_LEAF,
     .of = OF_STRANGER,
     .loads = true,
     .want = REASON_OK},
    {"old list, leaf revoked",
     {.from = TEST_NOW - 9 * TEST_DAY, .to = TEST_NOW - TEST_DAY},
     .listed = LIST_LEAF,
     .loads = true,
     .want = REASON_CERT_REVOKED},
    {"old list",
     {.from = TEST_NOW - 9 * TEST_DAY, .to = TEST_NOW - TEST_DAY},
     .loads = true,
     .want = REASON_OK,
     .detail = "the revocation list of the issuer (CN=middle) is out of date"},
    {"delta list", {.delta = true}, .listed = LIST_LEAF, .loads = false},
    {"indirect list", {.indirect = true}, .listed = LIST_LEAF, .loads = false},
};

static void revocation_lists_c_cert_08(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const struct crl_row *row = &lists[i];
        struct judge_case c = {.host = "mx.test"};
        struct make root = make_root("root", 1), middle = make_issuer("middle", 2, "root", 1);
        struct make leaf = make_leaf(dns, 3, "middle", 2);
        struct slice root_der = case_make(&c, &root), middle_der = case_make(&c, &middle);
        struct slice leaf_der = case_make(&c, &leaf), list;
        struct make_crl m = row->crl;
        char *anchors = make_pem("CERTIFICATE", root_der), *bundle = path_of("root.pem");
        char *text, *path = path_of("list.crl"), why[1000];

        m.signer = make_key(row->of == OF_MIDDLE ? 2 : row->of == OF_ROOT ? 1 : 9);
        if (m.issuer == NULL)
            m.issuer = row->of == OF_ROOT ? "root" : "middle";
        if (row->listed != LIST_NOBODY)
            m.revoked[0] = row->listed == LIST_MIDDLE ? middle_der : leaf_der;
        if (row->listed == LIST_MANY) {
            m.revoked[1] = middle_der;
            m.revoked[2] = root_der;
        }
        list = make_crl(&m);
        text = make_pem("X509 CRL", list);
        write_file(bundle, slice_str(anchors));
        write_file(path, row->der ? list : slice_str(text));
        c.trust = load(bundle, NULL, path, why);
        if ((c.trust != NULL) != row->loads)
            fail_msg("%s: %s", row->name, why);
        if (c.trust != NULL) {
            case_send(&c, leaf_der);
            case_send(&c, middle_der);
            (void)case_judge(&c);
            case_expect(row->name, &c, row->want);
            if (row->detail != NULL && strncmp(c.got.detail, row->detail, strlen(row->detail)) != 0)
                fail_msg("%s: detail is: %s", row->name, c.got.detail);
        }
        assert_int_equal(unlink(bundle) + unlink(path), 0);
        free(anchors);
        free(bundle);
        free(text);
        free(path);
        make_free(&list);
        case_end(&c);
    }
}

struct worker {
    pthread_t thread;
    const struct judge_case *c;
    int wrong;
};

static void *judge_often(void *arg)
{
    struct worker *w = arg;
    struct slice name = SLICE("mx.test");

    for (int i = 0; i < 100; i++) {
        struct trust_store *t = trust_hold(w->c->trust);
        struct judge_request req = {.trust = t,
                                    .chain = w->c->chain,
                                    .chain_count = w->c->chain_count,
                                    .names = &name,
                                    .name_count = 1,
                                    .now = TEST_NOW * 1000,
                                    .min_rsa_bits = 2048};
        struct judgement j;

        judge_chain(&req, &j);
        w->wrong += j.reason != REASON_OK;
        judgement_clear(&j);
        trust_drop(&t);
    }
    return NULL;
}

/* One store, several threads; the thread sanitizer looks on. */
static void threads_share_a_store(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), middle = make_issuer("middle", 2, "root", 1);
    struct make leaf = make_leaf(dns, 3, "middle", 2);
    struct slice anchor = case_make(&c, &root);
    struct worker workers[4];
    struct buf error;

    (void)state;
    buf_init(&error, 100);
    c.trust = trust_from_der(&anchor, 1, &error);
    case_send(&c, case_make(&c, &leaf));
    case_send(&c, case_make(&c, &middle));
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.c = &c};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, judge_often, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].wrong, 0);
    }
    buf_clear(&error);
    case_end(&c);
}

/* C-TLS-08: what a session or a warm connection was judged by. */
static void digests_of_content(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make one = make_root("one", 1), two = make_root("two", 2);
    struct make_crl list = {.issuer = "one", .signer = make_key(1)};
    struct slice first = case_make(&c, &one), second = case_make(&c, &two), der = make_crl(&list);
    char *r = make_pem("CERTIFICATE", first), *s = make_pem("CERTIFICATE", second);
    char *both = mem_format("%s%s%s", s, r, s);
    char *paths[] = {path_of("r"), path_of("s"), path_of("both"), path_of("crl")}, why[1000];
    struct slice anchors[] = {first, second};
    struct trust_store *stores[7];
    struct buf error;
    /* which of the stores have one content */
    static const char content[] = "abccddc";

    (void)state;
    buf_init(&error, 100);
    write_file(paths[0], slice_str(r));
    write_file(paths[1], slice_str(s));
    write_file(paths[2], slice_str(both));
    write_file(paths[3], der);
    stores[0] = load(paths[0], NULL, NULL, why);
    stores[1] = load(paths[1], NULL, NULL, why);
    stores[2] = load(paths[0], paths[1], NULL, why);
    stores[3] = load(paths[2], NULL, NULL, why);
    stores[4] = load(paths[2], NULL, paths[3], why);
    stores[5] = load(paths[1], paths[0], paths[3], why);
    stores[6] = trust_from_der(anchors, 2, &error);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 7; j++)
            if ((memcmp(trust_digest(stores[i]), trust_digest(stores[j]), TRUST_DIGEST_LENGTH) ==
                 0) != (content[i] == content[j]))
                fail_msg("stores %zu and %zu", i, j);
    for (size_t i = 0; i < 7; i++)
        trust_drop(&stores[i]);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(unlink(paths[i]), 0);
        free(paths[i]);
    }
    buf_clear(&error);
    make_free(&der);
    free(r);
    free(s);
    free(both);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundles_c_cert_09),          cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(extra_anchors_and_holds),    cmocka_unit_test(changes_are_seen_c_cert_09),
        cmocka_unit_test(revocation_lists_c_cert_08), cmocka_unit_test(threads_share_a_store),
        cmocka_unit_test(digests_of_content),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
