/* value.c - numbers, sizes, durations, rates, times of day, and predicates for
 * texts.
 *
 * Strict on purpose: a unit is always written, because `keep_delivered: 7` or
 * `reserve: 5GB` would be understood by everybody, differently.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config/config_int.h"

struct unit { const char *name; uint64_t factor; };

/* Largest first; the last is the base and ends the search. */
static const struct unit size_units[] = {
	{ "TiB", 1ull << 40 }, { "GiB", 1ull << 30 }, { "MiB", 1ull << 20 },
	{ "KiB", 1ull << 10 }, { "B", 1 }, { NULL, 0 },
};
static const struct unit duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "min", 60000 }, { "s", 1000 },
	{ "ms", 1 }, { NULL, 0 },
};
static const struct unit rate_units[] = {	/* bits, by thousands, as lines are sold */
	{ "Gbit", 125000000 }, { "Mbit", 125000 }, { "kbit", 125 }, { NULL, 0 },
};

static const char *const charset_terms[] = {
	"ISO_IR 6", "ISO_IR 13", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109",
	"ISO_IR 110", "ISO_IR 126", "ISO_IR 127", "ISO_IR 138", "ISO_IR 144",
	"ISO_IR 148", "ISO_IR 166", "ISO_IR 192", "ISO_IR 203", "GB18030", "GBK",
	"ISO 2022 IR 6", "ISO 2022 IR 13", "ISO 2022 IR 58", "ISO 2022 IR 87",
	"ISO 2022 IR 100", "ISO 2022 IR 101", "ISO 2022 IR 109",
	"ISO 2022 IR 110", "ISO 2022 IR 126", "ISO 2022 IR 127",
	"ISO 2022 IR 138", "ISO 2022 IR 144", "ISO 2022 IR 148",
	"ISO 2022 IR 149", "ISO 2022 IR 159", "ISO 2022 IR 166",
	"ISO 2022 IR 203", NULL,
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* Decimal without leading zeros, which elsewhere mean octal. */
static int
parse_digits(const char *s, uint64_t *ret, const char **ret_rest)
{
	uint64_t v = 0;

	if (!is_digit(s[0]) || (s[0] == '0' && is_digit(s[1])))
		return -EINVAL;
	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(*s - '0'), &v))
			return -ERANGE;
	*ret = v;
	*ret_rest = s;
	return 0;
}

static int
parse_with_unit(const char *s, const struct unit *units, uint64_t *ret)
{
	uint64_t v;
	int r;

	r = parse_digits(s, &v, &s);
	if (r < 0)
		return r;
	if (*s == ' ')
		s++;
	for (; units->name != NULL; units++)
		if (strcmp(s, units->name) == 0)
			break;
	if (units->name == NULL)
		return -EINVAL;
	if (__builtin_mul_overflow(v, units->factor, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

static void
print_with_unit(struct buf *b, const struct unit *units, uint64_t v)
{
	while (units[1].name != NULL && (v == 0 || v % units->factor != 0))
		units++;
	(void)buf_printf(b, "%" PRIu64 "%s", v / units->factor, units->name);
}

int
config_uint_parse(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r;

	r = parse_digits(s, &v, &s);
	if (r < 0)
		return r;
	if (*s != '\0')
		return -EINVAL;
	*ret = v;
	return 0;
}

int
config_size_parse(const char *s, uint64_t *ret_bytes)
{
	return parse_with_unit(s, size_units, ret_bytes);
}

int
config_duration_parse(const char *s, uint64_t *ret_ms)
{
	return parse_with_unit(s, duration_units, ret_ms);
}

int
config_rate_parse(const char *s, uint64_t *ret_bytes)
{
	return parse_with_unit(s, rate_units, ret_bytes);
}

/* HH:MM, and 24:00 for the end of the day. */
int
config_clock_parse(const char *s, uint64_t *ret_minutes)
{
	unsigned hours, minutes;

	if (strlen(s) != 5 || !is_digit(s[0]) || !is_digit(s[1]) ||
	    s[2] != ':' || !is_digit(s[3]) || !is_digit(s[4]))
		return -EINVAL;
	hours = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
	minutes = (unsigned)(s[3] - '0') * 10 + (unsigned)(s[4] - '0');
	if (minutes > 59 || hours * 60 + minutes > 24 * 60)
		return -EINVAL;
	*ret_minutes = hours * 60 + minutes;
	return 0;
}

void
config_size_print(struct buf *b, uint64_t bytes)
{
	print_with_unit(b, size_units, bytes);
}

void
config_duration_print(struct buf *b, uint64_t ms)
{
	print_with_unit(b, duration_units, ms);
}

void
config_rate_print(struct buf *b, uint64_t bytes)
{
	if (bytes == CONFIG_RATE_NONE)
		(void)buf_add_str(b, "none");
	else
		print_with_unit(b, rate_units, bytes);
}

void
config_clock_print(struct buf *b, uint64_t minutes)
{
	(void)buf_printf(b, "%02" PRIu64 ":%02" PRIu64, minutes / 60,
	    minutes % 60);
}

void
config_number_print(struct buf *b, enum config_type type, uint64_t v)
{
	if (type == CONFIG_SIZE)
		config_size_print(b, v);
	else if (type == CONFIG_DURATION)
		config_duration_print(b, v);
	else if (type == CONFIG_RATE)
		config_rate_print(b, v);
	else if (type == CONFIG_CLOCK)
		config_clock_print(b, v);
	else
		(void)buf_printf(b, "%" PRIu64, v);
}

static bool
title_chars_ok(const char *s, const char *refused)
{
	size_t len = strlen(s), i;

	if (len == 0 || len > 16 || s[0] == ' ' || s[len - 1] == ' ')
		return false;
	for (i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] > '~' || strchr(refused, s[i]) != NULL)
			return false;
	return true;
}

bool
config_title_ok(const char *s)
{
	return title_chars_ok(s, "\\*?");
}

bool
config_title_pattern_ok(const char *s)
{
	return title_chars_ok(s, "\\");
}

bool
config_name_ok(const char *s)
{
	size_t len = strlen(s), i;

	if (len == 0 || len > 32 || s[0] == '_' || s[0] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!is_lower(s[i]) && !is_digit(s[i]) && s[i] != '_' &&
		    s[i] != '-')
			return false;
	return true;
}

bool
config_uid_ok(const char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++) {
		bool begins = i == 0 || s[i - 1] == '.';

		if (i == 64 || !(is_digit(s[i]) || (s[i] == '.' && !begins)))
			return false;
		if (begins && s[i] == '0' && is_digit(s[i + 1]))
			return false;
	}
	return i > 0 && s[i - 1] != '.';
}

bool
config_code_ok(const char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (!is_upper(s[i]) && !is_digit(s[i]) && s[i] != '_')
			return false;
	return i > 0 && i <= 16;
}

/* Which keywords there are is known to whoever compares them. */
bool
config_sop_class_ok(const char *s)
{
	size_t i;

	if (config_uid_ok(s))
		return true;
	for (i = 0; s[i] != '\0'; i++)
		if (!is_upper(s[i]) && !is_lower(s[i]) &&
		    (i == 0 || !is_digit(s[i])))
			return false;
	return i > 0 && i <= 64;
}

/* What it is compared with has no spaces at its ends. */
bool
config_pattern_ok(const char *s)
{
	size_t len = strlen(s), i, chars = 0;

	for (i = 0; i < len; i++)
		chars += ((unsigned char)s[i] & 0xc0) != 0x80;
	return len > 0 && s[0] != ' ' && s[len - 1] != ' ' && chars <= 64 &&
	    strchr(s, '\\') == NULL;
}

static bool
charset_term_ok(const char *s, size_t len)
{
	const char *const *term;

	for (term = charset_terms; *term != NULL; term++)
		if (strlen(*term) == len && memcmp(*term, s, len) == 0)
			return true;
	return false;
}

/* The first of several terms may be empty: the default repertoire. */
bool
config_charset_ok(const char *s)
{
	size_t len;

	if (s[0] == '\\')
		s++;
	for (;; s += len + 1) {
		len = strcspn(s, "\\");
		if (!charset_term_ok(s, len))
			return false;
		if (s[len] == '\0')
			return true;
	}
}

static uint32_t
decode_char(const unsigned char *s, size_t *ret_len)
{
	uint32_t c = s[0];
	size_t i, n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (n > 1)
		c &= 0x7fu >> n;
	for (i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3fu);
	*ret_len = n;
	return c;
}

/* libyaml has proved that it is UTF-8; escapes like \x1b may still name what a
 * terminal would obey, and what would not be read back as it was printed. */
bool
config_text_ok(const char *s, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n) {
		uint32_t c = decode_char((const unsigned char *)s + i, &n);

		if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 ||
		    c == 0x2029 || c == 0xfeff || (c >= 0xfffe && c <= 0xffff) ||
		    (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
			return false;
	}
	return true;
}

static bool
url_host_ok(const char *s, size_t len)
{
	size_t i, name = len;
	const char *colon;
	uint64_t port;
	char digits[8];

	if (len > 0 && s[0] == '[') {
		const char *end = memchr(s, ']', len);

		if (end == NULL || end == s + 1)
			return false;
		name = (size_t)(end - s) + 1;
		for (i = 1; i + 1 < name; i++)
			if (strchr("0123456789abcdefABCDEF:.", s[i]) == NULL)
				return false;
	} else {
		for (i = 0; i < len && s[i] != ':'; i++)
			if (!is_digit(s[i]) && !is_lower(s[i]) && !is_upper(s[i]) &&
			    s[i] != '.' && s[i] != '-' && s[i] != '_')
				return false;
		name = i;
	}
	if (name == len)
		return len > 0;
	colon = s + name;
	len -= name + 1;
	if (name == 0 || *colon != ':' || len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, colon + 1, len);
	digits[len] = '\0';
	return config_uint_parse(digits, &port) == 0 && port >= 1 &&
	    port <= 65535;
}

const char *
config_url_wrong(const char *s)
{
	const char *c;
	size_t len;

	for (c = s; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}", *c) != NULL)
			return "holds a character that no URL may hold";
	if (strncmp(s, "https://", 8) == 0)
		s += 8;
	else if (strncmp(s, "http://", 7) == 0)
		s += 7;
	else
		return "begins with neither https:// nor http://";
	if (strpbrk(s, "?#") != NULL)
		return "holds a query or a fragment";
	len = strcspn(s, "/");
	if (memchr(s, '@', len) != NULL)
		return "holds a user; users and secrets go into options of "
		       "their own";
	if (!url_host_ok(s, len))
		return "has no valid host and port";
	return NULL;
}
