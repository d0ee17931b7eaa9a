/* settle_line.c - one line of the settle log: text with a seal. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/hash.h"
#include "spool/settle_line_int.h"

#define SETTLE_SEED	UINT64_C(0x534554544c45)	/* "SETTLE" */
#define DESTINATION_MAX 255
#define ACTOR_MAX	250
#define REASON_MAX	2000
#define SEAL_DIGITS	16

/* Words of the file, fixed for ever; what people see is named elsewhere. */
static const char *const verb_word[SETTLE_VERBS] = {
	[SETTLE_DELIVERY] = "delivery",
	[SETTLE_CHECK] = "check",
	[SETTLE_REPLACING] = "replacing",
	[SETTLE_EXPUNGED] = "expunged",
	[SETTLE_DAMAGED] = "damaged",
	[SETTLE_STUDY_HOLD] = "study-hold",
	[SETTLE_STUDY_PRIORITY] = "study-priority",
	[SETTLE_DESTINATION_HOLD] = "destination-hold",
	[SETTLE_ROUTED] = "routed",
	[SETTLE_JOB] = "job",
	[SETTLE_JOB_ENDED] = "job-ended",
};
static const char *const state_word[SPOOL_DELIVERY_STATES] = {
	[SPOOL_OWED] = "owed",
	[SPOOL_SENT] = "sent",
	[SPOOL_DELIVERED] = "delivered",
	[SPOOL_WARNED] = "warned",
	[SPOOL_REFUSED] = "refused",
	[SPOOL_LET_GO] = "let-go",
};

/* The last one is left out where there is none, as in all lines before there was. */
enum {
	WALL, VERB, ID, DESTINATION, STUDY, STATE, VALUE, ACTOR, REASON, REMOTE,
	FIELDS
};

/* The text of a job must come back whole; so must a line of the worst of all. */
static_assert(SPOOL_JOB_TEXT_MAX <= REASON_MAX, "a job's text would be cut");
static_assert(4 * (2 * DESTINATION_MAX + ACTOR_MAX + REASON_MAX +
    SPOOL_REMOTE_MAX) + 128 < SETTLE_LINE_MAX, "a line of ours would be too long");

/* ---- text ---- */

/* Bytes of the printable UTF-8 character at p, or 0: to be escaped. */
static size_t
character_size(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t      least;
	} form[] = {
		{ 0x80, 0x00, 0x20 },
		{ 0xe0, 0xc0, 0xa0 },	/* C1 controls are below */
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};
	size_t n = 0;
	uint32_t c;

	while (n < ARRAY_LEN(form) && (p[0] & form[n].mask) != form[n].lead)
		n++;
	if (n == ARRAY_LEN(form) || n + 1 > left)
		return 0;
	c = p[0] & (unsigned char)~form[n].mask;
	for (size_t i = 1; i <= n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < form[n].least || c == 0x7f || c == '\\' || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n + 1;
}

static void
add_text(struct buf *out, const char *s, size_t max)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t left = strlen(s);

	/* Not in the middle of a character. */
	if (left > max) {
		for (left = max; left > 0 && (p[left] & 0xc0) == 0x80;)
			left--;
	}
	while (left > 0) {
		size_t n = character_size(p, left);

		if (n > 0) {
			(void)buf_add(out, p, n);
		} else {
			(void)buf_printf(out, "\\x%02x", p[0]);
			n = 1;
		}
		p += n;
		left -= n;
	}
	(void)buf_add_char(out, '\t');
}

int
settle_line_encode(const struct settle_entry *e, struct buf *out)
{
	struct buf line = BUF_INIT(SETTLE_LINE_MAX);
	const char *remote = e->remote != NULL ? e->remote : "";
	int r;

	if (strlen(e->destination) > DESTINATION_MAX ||
	    strlen(e->study) > DESTINATION_MAX ||
	    strlen(remote) > SPOOL_REMOTE_MAX)
		return -EINVAL;
	(void)buf_printf(&line, "%" PRId64 "\t%s\t%016" PRIx64 "\t", e->wall_ms,
	    verb_word[e->verb], e->id);
	add_text(&line, e->destination, DESTINATION_MAX);
	add_text(&line, e->study, DESTINATION_MAX);
	(void)buf_printf(&line, "%s\t%" PRId64 "\t",
	    e->verb == SETTLE_DELIVERY ? state_word[e->state] : "", e->value);
	add_text(&line, e->actor, ACTOR_MAX);
	add_text(&line, e->reason, REASON_MAX);
	if (remote[0] != '\0')
		add_text(&line, remote, SPOOL_REMOTE_MAX);
	r = buf_error(&line);
	if (r == 0)
		r = buf_printf(&line, "%016" PRIx64 "\n",
		    hash_seal(line.data, line.len - 1, SETTLE_SEED));
	if (r == 0)
		r = buf_add(out, line.data, line.len);
	buf_free(&line);
	return r;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. A NUL, escaped or not, would end the text early: no writer makes
 * one. */
static int
unescape(char *s)
{
	char *to = s;

	while (*s != '\0') {
		int high, low;

		if (*s != '\\') {
			*to++ = *s++;
			continue;
		}
		high = s[1] == 'x' ? hex_value(s[2]) : -1;
		low = high >= 0 ? hex_value(s[3]) : -1;
		if (low < 0 || (high == 0 && low == 0))
			return -EBADMSG;
		*to++ = (char)(high << 4 | low);
		s += 4;
	}
	*to = '\0';
	return 0;
}

static int
find_word(const char *const *words, int n, const char *word)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -EBADMSG;
}

static int
parse_number(const char *s, int64_t least, int64_t most, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(s, &end, 10);
	return errno != 0 || end == s || *end != '\0' || *ret < least ||
	    *ret > most ? -EBADMSG : 0;
}

static int
parse_hex(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (int i = 0; i < SEAL_DIGITS; i++) {
		int digit = hex_value(s[i]);

		if (digit < 0)
			return -EBADMSG;
		v = v << 4 | (uint64_t)digit;
	}
	if (s[SEAL_DIGITS] != '\0')
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* ---- reading ---- */

static int
split_fields(char *line, char *field[static FIELDS])
{
	for (int i = 0; i < FIELDS; i++) {
		char *tab = strchr(line, '\t');

		field[i] = line;
		if (tab == NULL && i == REASON)
			field[REMOTE] = line + strlen(line);
		if (tab == NULL)
			return i >= REASON ? 0 : -EBADMSG;
		*tab = '\0';
		line = tab + 1;
	}
	return -EBADMSG;
}

static int
fill_entry(char *const *field, struct settle_entry *e)
{
	int64_t value = 0;
	int verb, state = 0;

	verb = find_word(verb_word, SETTLE_VERBS, field[VERB]);
	if (verb == SETTLE_DELIVERY)
		state = find_word(state_word, SPOOL_DELIVERY_STATES,
		    field[STATE]);
	if (verb < 0 || state < 0 ||
	    parse_number(field[WALL], INT64_MIN, INT64_MAX, &e->wall_ms) < 0 ||
	    parse_number(field[VALUE], INT64_MIN, INT64_MAX, &value) < 0 ||
	    parse_hex(field[ID], &e->id) < 0 ||
	    unescape(field[DESTINATION]) < 0 || unescape(field[STUDY]) < 0 ||
	    unescape(field[ACTOR]) < 0 || unescape(field[REASON]) < 0 ||
	    unescape(field[REMOTE]) < 0)
		return -EBADMSG;

	e->verb = (enum settle_verb)verb;
	e->state = (enum spool_delivery)state;
	e->value = value;
	e->destination = field[DESTINATION];
	e->study = field[STUDY];
	e->actor = field[ACTOR];
	e->reason = field[REASON];
	e->remote = field[REMOTE];
	return 0;
}

int
settle_line_decode(char *line, size_t len, struct settle_entry *ret)
{
	struct settle_entry e = { 0 };
	char *field[FIELDS];
	uint64_t seal;

	if (len < SEAL_DIGITS + 1 || line[len - SEAL_DIGITS - 1] != '\t' ||
	    memchr(line, '\0', len) != NULL)
		return -EBADMSG;
	line[len] = '\0';
	len -= SEAL_DIGITS + 1;
	if (parse_hex(line + len + 1, &seal) < 0 ||
	    seal != hash_seal(line, len, SETTLE_SEED))
		return -EBADMSG;
	line[len] = '\0';
	if (split_fields(line, field) < 0 || fill_entry(field, &e) < 0)
		return -EBADMSG;
	*ret = e;
	return 0;
}
