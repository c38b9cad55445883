/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation and invariants: what they answer, and that they end the process loudly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define THING_MAGIC 0x7e57ab1eU

struct thing {
    uint32_t magic;
    int value;
};

static void memory_is_zeroed_and_never_null(void **state)
{
    unsigned char *p = mem_array(16, 4);

    (void)state;
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(p[i], 0);
    p = mem_resize(p, 0, 4);
    assert_non_null(p);
    free(p);
    p = mem_zalloc(0);
    assert_non_null(p);
    free(p);
}

static void strings_are_copied_and_formatted(void **state)
{
    char *s = mem_strdup("abc");

    (void)state;
    assert_string_equal(s, "abc");
    free(s);
    assert_null(mem_strdup(NULL));
    s = mem_format("%d-%s", 7, "x");
    assert_string_equal(s, "7-x");
    free(s);
}

static void overflowing_array(void)
{
    free(mem_array(SIZE_MAX / 2, 3));
}

static void false_invariant(void)
{
    INVARIANT(1 + 1 == 3);
}

static void wrong_magic(void)
{
    struct thing t = {1, 2};

    (void)OBJ_CAST(thing, THING_MAGIC, &t);
}

static void null_object(void)
{
    (void)OBJ_CAST(thing, THING_MAGIC, NULL);
}

/* Runs `what` in a child: it has to abort and to say `words` on stderr. */
static void assert_aborts(void (*what)(void), const char *words)
{
    char said[512] = "";
    int fds[2], status;
    ssize_t n;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    child = fork();
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)dup2(fds[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        what();
        _exit(0);
    }
    close(fds[1]);
    n = read(fds[0], said, sizeof(said) - 1);
    close(fds[0]);
    assert_true(n >= 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, words));
}

static void broken_promises_abort_with_words(void **state)
{
    (void)state;
    assert_aborts(overflowing_array, "broken invariant");
    assert_aborts(false_invariant, "1 + 1 == 3");
    assert_aborts(wrong_magic, "wrong magic");
    assert_aborts(null_object, "NULL");
}

static void a_right_object_is_cast(void **state)
{
    struct thing t = {THING_MAGIC, 2};
    void *lost = &t;

    (void)state;
    INVARIANT(lost != NULL);
    assert_int_equal(OBJ_CAST(thing, THING_MAGIC, lost)->value, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_never_null),
        cmocka_unit_test(strings_are_copied_and_formatted),
        cmocka_unit_test(broken_promises_abort_with_words),
        cmocka_unit_test(a_right_object_is_cast),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
