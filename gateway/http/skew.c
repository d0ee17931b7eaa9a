/* skew.c - how far the server's clock is from ours, as its answers tell.
 *
 * Signatures and assertions carry a time, and are refused when it is some minutes
 * off; a box in a cellar often is. The correction lasts as long as the client, and
 * is taken anew from each answer, so a clock that is set right in between counts.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/http/http_int.h"

#define NOTICED_MS  30000	/* less is the way there */
#define FAR_MS	    300000	/* people should know */
#define KEPT_MS	    INT64_C(86400000)
#define LEAST_S	    INT64_C(1704067200)	/* 2024: a server before it is wrong itself, */
#define MOST_S	    INT64_C(4102444800)	/* and so is one after 2100 */

int64_t
http_client_now_ms(const struct http_client *c)
{
	return clock_wall_ms() + atomic_load(&c->skew_ms);
}

static bool
is_far(int64_t skew_ms)
{
	return skew_ms > FAR_MS || skew_ms < -FAR_MS;
}

static bool
describe(int64_t skew, struct buf *b)
{
	static const struct { int64_t ms; const char *unit; } units[] = {
		{ INT64_C(86400000) * 2, "days" }, { 3600000 * 3, "h" },
		{ 60000, "min" },
	};
	static const int64_t sizes[] = { 86400000, 3600000, 60000 };
	int64_t off = skew < 0 ? -skew : skew;
	size_t i = 0;

	if (!is_far(skew))
		return false;
	while (off < units[i].ms)
		i++;
	(void)buf_printf(b, "this machine's clock is %" PRId64 " %s %s",
	    (off + sizes[i] / 2) / sizes[i], units[i].unit,
	    skew > 0 ? "slow" : "fast");
	return true;
}

bool
skew_describe(const struct http_client *c, struct buf *b)
{
	return describe(atomic_load(&c->skew_ms), b);
}

/* ---- for status ---------------------------------------------------------- */

static struct {
	pthread_mutex_t mu;
	char	host[256];		/* that said so last */
	int64_t	skew_ms, heard_ms;	/* boot time */
} far_off = { .mu = PTHREAD_MUTEX_INITIALIZER };

static void
keep_for_status(const char *host, int64_t skew_ms)
{
	LOCK_SCOPE(&far_off.mu);
	if (is_far(skew_ms)) {
		(void)snprintf(far_off.host, sizeof(far_off.host), "%s", host);
		far_off.skew_ms = skew_ms;
		far_off.heard_ms = clock_boot_ms();
	} else if (strcmp(far_off.host, host) == 0) {
		far_off.skew_ms = 0;
	}
}

bool
http_clock_fault(char *buf, size_t size)
{
	struct buf b = BUF_INIT(100);
	bool is;

	LOCK_SCOPE(&far_off.mu);
	is = clock_boot_ms() - far_off.heard_ms < KEPT_MS &&
	    describe(far_off.skew_ms, &b);
	if (is)
		(void)snprintf(buf, size, "%s, says %s: let systemd-timesyncd or "
		    "chrony set it; what is signed is corrected meanwhile", b.data,
		    far_off.host);
	buf_free(&b);
	return is;
}

/* ---- from each answer ---------------------------------------------------- */

static void
tell_once(struct http_client *c, int64_t skew_ms)
{
	struct buf b = BUF_INIT(100);

	if (!is_far(skew_ms)) {
		if (skew_ms == 0)
			atomic_store(&c->skew_told, false);
	} else if (!atomic_exchange(&c->skew_told, true) && skew_describe(c, &b)) {
		log_warn("the server's clock is another one", LOG_STR("host", c->host),
		    LOG_STR("what", b.data));
	}
	buf_free(&b);
}

void
skew_learn(struct http_client *c, const struct http_reply *r)
{
	char date[64];
	int64_t skew;
	time_t when;

	/* A cache's answer has the date of when it was made. */
	if (http_reply_header(r, "Age", date, sizeof(date)) ||
	    !http_reply_header(r, "Date", date, sizeof(date)))
		return;
	when = curl_getdate(date, NULL);
	if (when == (time_t)-1 || when < LEAST_S || when > MOST_S)
		return;
	skew = (int64_t)when * 1000 - clock_wall_ms();
	if (skew > -NOTICED_MS && skew < NOTICED_MS)
		skew = 0;
	atomic_store(&c->skew_ms, skew);
	tell_once(c, skew);
	keep_for_status(c->host, skew);
}
