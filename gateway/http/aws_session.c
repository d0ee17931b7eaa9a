/* aws_session.c - keys for AWS that are fetched and expire. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/http/aws_session_int.h"
#include "gateway/http/ticket_int.h"

#define SETTLED_MS 60000	/* a refusal is not about the keys' age before */

struct fetched {
	struct aws_keys keys;
	int64_t		fetched_ms;	/* CLOCK_MONOTONIC */
};

struct aws_session {
	aws_session_fetch_fn *fetch;
	void	      *arg;
	struct ticket *ticket;
	_Atomic int64_t skew_ms;	/* the services' clock, ahead of ours */
};

/* A request runs on one thread from its apply to its refresh. */
static _Thread_local struct {
	const struct aws_session *session;
	uint64_t generation;
	int64_t	 fetched_ms;
} last_used;

static void
free_fetched(void *value)
{
	struct fetched *f = value;

	aws_keys_free(&f->keys);
	free(f);
}

static int
fetch_keys(void *arg, void **ret_value, int64_t *ret_expires_ms, struct buf *why)
{
	struct aws_session *s = arg;
	struct fetched *f = xcalloc(1, sizeof(*f));
	int64_t now = clock_wall_ms() + atomic_load(&s->skew_ms);
	int64_t began = clock_mono_ms();
	int r;

	f->keys.expires_ms = INT64_MAX;
	r = s->fetch(s->arg, now, &f->keys, why);
	if (r < 0) {
		free_fetched(f);
		return r;
	}
	f->fetched_ms = clock_mono_ms();
	*ret_expires_ms = f->keys.expires_ms == INT64_MAX ? CLOCK_NEVER :
	    began + (f->keys.expires_ms - now);
	*ret_value = f;
	return 0;
}

struct aws_session *
aws_session_new(aws_session_fetch_fn *fetch, void *arg)
{
	struct aws_session *s = xcalloc(1, sizeof(*s));

	s->fetch = fetch;
	s->arg = arg;
	s->ticket = ticket_new(fetch_keys, s, free_fetched);
	return s;
}

void
aws_session_free(struct aws_session *s)
{
	if (s == NULL)
		return;
	ticket_free(s->ticket);
	free(s);
}

void
aws_session_cancel(struct aws_session *s)
{
	ticket_cancel(s->ticket);
}

void
aws_session_renew(struct aws_session *s, bool keep)
{
	ticket_renew(s->ticket, keep);
}

int
aws_session_apply(struct aws_session *s, const struct http_signing *what,
    struct http_headers *h, struct buf *why)
{
	struct fetched *f;
	void *held;
	int r;

	atomic_store(&s->skew_ms, what->now_ms - clock_wall_ms());
	r = ticket_take(s->ticket, &held, &last_used.generation, why);
	if (r < 0)
		return r;
	f = held;
	last_used.session = s;
	last_used.fetched_ms = f->fetched_ms;
	r = sigv4_sign(&f->keys, what, h);
	ticket_give(s->ticket, f);
	if (r < 0)
		(void)buf_printf(why, "cannot sign: %s", strerror(-r));
	return r;
}

/* Keys that are denied may have been replaced at their source meanwhile. */
bool
aws_session_refresh(struct aws_session *s, const struct http_reply *r)
{
	if (last_used.session != s)
		return false;
	switch (aws_fault(r)) {
	case AWS_EXPIRED:
		return ticket_refused(s->ticket, last_used.generation, true);
	case AWS_DENIED:
		return clock_mono_ms() - last_used.fetched_ms >= SETTLED_MS &&
		    ticket_refused(s->ticket, last_used.generation, false);
	case AWS_NO_FAULT:
	case AWS_SKEWED:
		break;
	}
	return false;
}

/* ---- times --------------------------------------------------------------- */

static int
parse_offset(const char *text, int *ret_minutes)
{
	int h, m, end = 0;

	if ((text[0] == 'Z' || text[0] == 'z') && text[1] == '\0') {
		*ret_minutes = 0;
		return 0;
	}
	if ((text[0] != '+' && text[0] != '-') ||
	    (sscanf(text + 1, "%2d:%2d%n", &h, &m, &end) != 2 &&
		sscanf(text + 1, "%2d%2d%n", &h, &m, &end) != 2) ||
	    text[1 + end] != '\0' || h < 0 || h > 23 || m < 0 || m > 59)
		return -EINVAL;
	*ret_minutes = (text[0] == '-' ? -1 : 1) * (60 * h + m);
	return 0;
}

int
aws_time_parse(const char *text, int64_t *ret_wall_ms)
{
	struct tm tm = { 0 };
	const char *rest;
	int minutes;
	time_t t;

	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest == NULL)
		return -EINVAL;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (parse_offset(rest, &minutes) < 0)
		return -EINVAL;
	t = timegm(&tm);
	if (t == (time_t)-1)
		return -EINVAL;
	*ret_wall_ms = ((int64_t)t - 60 * (int64_t)minutes) * 1000;
	return 0;
}

int
aws_keys_check(const struct aws_keys *k, int64_t now_ms, const char *from,
    struct buf *why)
{
	char when[40];

	/* By either clock: no request would leave, and a server's that is wrong for a
	 * moment would be believed for ever. */
	if (k->expires_ms > now_ms || k->expires_ms > clock_wall_ms())
		return 0;
	(void)buf_printf(why, "%s: the keys that it gives expired on %s: it gives "
	    "old ones, or this machine's clock is wrong", from,
	    clock_format(k->expires_ms, when, sizeof(when)));
	return -EACCES;
}
