/* SPDX-License-Identifier: Apache-2.0 */
/* instant - see instant.h for the contract. */
#include "proxy/base/instant.h"

#include <inttypes.h>
#include <stdio.h>

#define MS_PER_DAY INT64_C(86400000)

struct unit {
    const char *name;
    int64_t factor;
};

/* Ascending: the writer takes the largest that divides. */
static const struct unit span_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", MS_PER_DAY},
};
static const struct unit size_units[] = {
    {"B", 1},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct budget budget_start(mono_ms now, int64_t span_ms)
{
    return (struct budget){.deadline = now + span_ms};
}

int64_t budget_left(const struct budget *b, mono_ms now, int64_t step_ms)
{
    int64_t left = b->deadline - now;

    if (b->deadline == 0)
        return step_ms;
    if (left <= 0)
        return 0;
    return left < step_ms ? left : step_ms;
}

/* The Gregorian calendar by arithmetic (eras of 400 years that begin on March 1st): the libc's
 * functions read the time zone files of the host. */
static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

struct date {
    int64_t year;
    unsigned month, day;
};

static struct date date_of_days(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* months since March */
    struct date d;

    d.day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    d.month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    d.year = year_of_era + era * 400 + (d.month <= 2 ? 1 : 0);
    return d;
}

/* `count` digits of `number`, and what stands behind them. */
static char *put_digits(char *at, unsigned number, int count, char behind)
{
    for (int i = count - 1; i >= 0; i--, number /= 10)
        at[i] = (char)('0' + number % 10);
    at[count] = behind;
    return at + count + 1;
}

/* By hand: every record has one, and printf() would cost more than the rest of a short record. */
const char *instant_text(wall_ms t, char out[INSTANT_TEXT_MAX])
{
    int64_t days = t / MS_PER_DAY, rest = t % MS_PER_DAY;
    struct date d;
    unsigned ms;
    char *at;

    if (rest < 0) {
        days--;
        rest += MS_PER_DAY;
    }
    ms = (unsigned)rest;
    d = date_of_days(days);
    at = d.year >= 0 && d.year <= 9999
             ? put_digits(out, (unsigned)d.year, 4, '-')
             : out + snprintf(out, INSTANT_TEXT_MAX - 20, "%04" PRId64 "-", d.year);
    at = put_digits(at, d.month, 2, '-');
    at = put_digits(at, d.day, 2, 'T');
    at = put_digits(at, ms / 3600000, 2, ':');
    at = put_digits(at, ms / 60000 % 60, 2, ':');
    at = put_digits(at, ms / 1000 % 60, 2, '.');
    at = put_digits(at, ms % 1000, 3, 'Z');
    *at = '\0';
    return out;
}

/* `text` looks like `form`, where '0' stands for any digit; each run of digits is a number. */
static bool match_form(struct slice text, const char *form, unsigned *numbers)
{
    size_t i;

    for (i = 0; form[i] != '\0'; i++) {
        char c = i < text.n ? text.p[i] : '\0';

        if (form[i] != '0') {
            if (c != form[i])
                return false;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        if (i == 0 || form[i - 1] != '0')
            *numbers = 0;
        *numbers = *numbers * 10 + (unsigned)(c - '0');
        if (form[i + 1] != '0')
            numbers++;
    }
    return i == text.n;
}

bool instant_parse(struct slice text, wall_ms *out)
{
    enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MS, NUMBERS };
    unsigned n[NUMBERS] = {0};
    struct date back;
    int64_t days;

    if (!match_form(text, "0000-00-00", n) && !match_form(text, "0000-00-00T00:00:00Z", n) &&
        !match_form(text, "0000-00-00T00:00:00.000Z", n))
        return false;
    if (n[MONTH] < 1 || n[MONTH] > 12 || n[HOUR] > 23 || n[MINUTE] > 59 || n[SECOND] > 59)
        return false;
    days = days_of_date(n[YEAR], n[MONTH], n[DAY]);
    back = date_of_days(days);
    if (back.month != n[MONTH] || back.day != n[DAY])
        return false; /* February 30th, or day 0 */
    *out =
        days * MS_PER_DAY + (((int64_t)n[HOUR] * 60 + n[MINUTE]) * 60 + n[SECOND]) * 1000 + n[MS];
    return true;
}

static bool amount_parse(struct slice text, const struct unit *units, size_t count, int64_t *out)
{
    size_t digits = 0;
    unsigned long long number;

    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    for (size_t i = 0; i < count; i++)
        if (slice_eq(slice_from(text, digits), slice_str(units[i].name))) {
            if (!slice_u64(slice_first(text, digits),
                           (unsigned long long)(INT64_MAX / units[i].factor), &number))
                return false;
            *out = (int64_t)number * units[i].factor;
            return true;
        }
    return false;
}

static const char *amount_text(int64_t amount, const struct unit *units, size_t count,
                               const char *zero, char *out)
{
    size_t i = count - 1;

    if (amount == 0) {
        (void)snprintf(out, INSTANT_TEXT_MAX, "%s", zero);
        return out;
    }
    while (amount % units[i].factor != 0)
        i--;
    (void)snprintf(out, INSTANT_TEXT_MAX, "%" PRId64 "%s", amount / units[i].factor, units[i].name);
    return out;
}

bool span_parse(struct slice text, int64_t *ms)
{
    return amount_parse(text, span_units, COUNT(span_units), ms);
}

bool size_parse(struct slice text, int64_t *bytes)
{
    return amount_parse(text, size_units, COUNT(size_units), bytes);
}

const char *span_text(int64_t ms, char out[INSTANT_TEXT_MAX])
{
    return amount_text(ms, span_units, COUNT(span_units), "0s", out);
}

const char *size_text(int64_t bytes, char out[INSTANT_TEXT_MAX])
{
    return amount_text(bytes, size_units, COUNT(size_units), "0B", out);
}
