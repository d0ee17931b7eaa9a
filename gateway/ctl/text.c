/* text.c - texts for a terminal. Names, titles and descriptions came over the
 * wire: no byte of them may move the cursor, change a color or turn the
 * direction of what follows.
 */
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "gateway/ctl/ctl_int.h"

/* Marks that reorder, join or hide what stands beside them. */
static bool
is_harmful(wchar_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x00ad || c == 0x061c ||
	    (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	    (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

void
ctl_escape(struct buf *b, const char *s)
{
	size_t left = strlen(s);
	mbstate_t state = { 0 };

	while (left > 0) {
		wchar_t wc;
		size_t n = mbrtowc(&wc, s, left, &state);

		if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
			(void)buf_printf(b, "\\x%02x", (unsigned char)s[0]);
			memset(&state, 0, sizeof(state));
			n = 1;
		} else if (is_harmful(wc) || wcwidth(wc) < 0) {
			(void)buf_printf(b, wc < 0x80 ? "\\x%02x" : "\\u{%04x}",
			    (unsigned)wc);
		} else
			(void)buf_add(b, s, n);
		s += n;
		left -= n;
	}
}

/* Columns of the character at s, and its bytes. */
static size_t
measure(const char *s, size_t left, size_t *ret_bytes)
{
	mbstate_t state = { 0 };
	wchar_t wc;
	size_t n = mbrtowc(&wc, s, left, &state);
	int width;

	if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
		*ret_bytes = 1;
		return 1;
	}
	width = wcwidth(wc);
	*ret_bytes = n;
	return width > 0 ? (size_t)width : 0;
}

size_t
ctl_width(const char *s)
{
	size_t left = strlen(s), width = 0, n;

	for (; left > 0; s += n, left -= n)
		width += measure(s, left, &n);
	return width;
}

void
ctl_cut(struct buf *b, const char *s, size_t columns)
{
	size_t left = strlen(s), used = 0, n, w;

	if (ctl_width(s) <= columns) {
		(void)buf_add_str(b, s);
		return;
	}
	for (; left > 0; s += n, left -= n) {
		w = measure(s, left, &n);
		if (used + w + 1 > columns)
			break;
		(void)buf_add(b, s, n);
		used += w;
	}
	if (columns > 0)
		(void)buf_add_str(b, "…");
}

const char *
ctl_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes;
	size_t i = 0;

	/* 1023.95 would print as 1024.0 */
	for (; n >= 1023.95 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		n /= 1024;
	(void)snprintf(buf, size, i == 0 ? "%.0f %s" : "%.1f %s", n, units[i]);
	return buf;
}

const char *
ctl_duration(uint64_t seconds, char *buf, size_t size)
{
	unsigned long long s = seconds;

	if (s < 60)
		(void)snprintf(buf, size, "%llu s", s);
	else if (s < 3600)
		(void)snprintf(buf, size, "%llu min", s / 60);
	else if (s < 86400)
		(void)snprintf(buf, size, "%llu h %llu min", s / 3600,
		    s % 3600 / 60);
	else
		(void)snprintf(buf, size, "%llu d %llu h", s / 86400,
		    s % 86400 / 3600);
	return buf;
}

const char *
ctl_time(const char *iso, char *buf, size_t size)
{
	if (strlen(iso) < 19) {
		(void)snprintf(buf, size, "%s", "-");
		return buf;
	}
	(void)snprintf(buf, size, "%.10s %.8s", iso, iso + 11);
	return buf;
}

const char *
ctl_state_words(const char *state)
{
	static const struct { const char *state, *words; } table[] = {
		{ "refused", "set aside" },
		{ "unrouted", "nowhere to go" },
		{ "held", "held" },
		{ "receiving", "receiving" },
		{ "owed", "waiting" },
		{ "delivered", "delivered" },
		{ "let go", "let go" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].state, state) == 0)
			return table[i].words;
	return state;
}
