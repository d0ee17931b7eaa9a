/* settle.c - verdicts become durable: those of a request that came back, and those of
 * jobs that the destination confirms later.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "gateway/upload/upload_int.h"

#define DAMAGED "damaged on this disk"

/* What is not final stays as it is: owed, or sent by another job. */
static bool
state_of(const struct destination_item *it, uint64_t job, enum spool_delivery *ret)
{
	switch (it->verdict) {
	case DESTINATION_OK:
		*ret = SPOOL_DELIVERED;
		return true;
	case DESTINATION_WARNED:
		*ret = SPOOL_WARNED;
		return true;
	case DESTINATION_REFUSED:
	case DESTINATION_DAMAGED:
		*ret = SPOOL_REFUSED;
		return true;
	case DESTINATION_RETRY:
		*ret = SPOOL_OWED;
		return job != 0;
	case DESTINATION_SENT:
		break;
	}
	return false;
}

/* Set aside everywhere it is owed; here also what is sent, or was known as damaged and
 * is owed again. */
static void
set_damaged(struct lane *l, const struct destination_item *it)
{
	(void)spool_set_damaged(l->up->sp, it->in.id, DAMAGED);
	log_error("instance is damaged on this disk and set aside",
	    LOG_U64("id", it->in.id), LOG_STR("sop_instance", it->in.sop_instance),
	    LOG_STR("study", it->in.study_uid));
}

static size_t
collect_verdicts(struct lane *l, uint64_t job, const struct destination_item *items,
    size_t n, struct spool_verdict *v)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const struct destination_item *it = &items[i];
		const char *reason = it->reason[0] != '\0' ? it->reason : NULL;
		enum spool_delivery state;

		if (!state_of(it, job, &state))
			continue;
		if (it->verdict == DESTINATION_DAMAGED) {
			set_damaged(l, it);
			reason = DAMAGED;
		}
		v[k++] = (struct spool_verdict){ .id = it->in.id,
			.destination = l->name, .state = state,
			.reason = reason,
			.remote = it->remote[0] != '\0' ? it->remote : NULL,
			.job = job };
	}
	return k;
}

const char *
settle_shown(const struct destination_item *it, char ret[static REASON_SIZE])
{
	size_t n = it->quote_at > 0 ? it->quote_at : strlen(it->reason);

	(void)snprintf(ret, REASON_SIZE, "%.*s", (int)n, it->reason);
	return ret;
}

static void
count_item(const struct lane *l, const struct destination_item *it, uint64_t job,
    struct settled *sum)
{
	char reason[REASON_SIZE];

	switch (it->verdict) {
	case DESTINATION_OK:
	case DESTINATION_WARNED:
		sum->taken++;
		sum->delivered++;
		sum->bytes += it->in.length;
		break;
	case DESTINATION_SENT:
		sum->taken++;
		sum->sent++;
		break;
	case DESTINATION_RETRY:
		sum->again += job != 0;
		break;
	case DESTINATION_REFUSED:
		log_warn("instance set aside", LOG_U64("id", it->in.id),
		    LOG_STR("sop_instance", it->in.sop_instance),
		    LOG_STR("study", it->in.study_uid),
		    LOG_STR("destination", l->name),
		    LOG_STR("reason", settle_shown(it, reason)));
		break;
	case DESTINATION_DAMAGED:
		break;
	}
}

int
settle_items(struct lane *l, uint64_t job, const struct destination_item *items,
    size_t n, struct settled *ret)
{
	AUTO_FREE struct spool_verdict *v = xcalloc(n + 1, sizeof(*v));
	struct settled sum = { 0 };
	int r;

	r = spool_settle(l->up->sp, v, collect_verdicts(l, job, items, n, v));
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		count_item(l, &items[i], job, &sum);
	*ret = sum;
	return 0;
}

/* ---- whole studies ---- */

struct remainder {
	const char *destination;
	uint64_t owed, delivered;
};

static int
see_remainder(void *arg, const struct spool_progress *p)
{
	struct remainder *rest = arg;

	if (strcmp(p->destination, rest->destination) != 0)
		return 0;
	rest->owed = p->owed;
	rest->delivered = p->delivered + p->warned;
	return 1;
}

bool
settle_is_whole(struct lane *l, uint64_t study, uint64_t *ret_delivered)
{
	struct remainder rest = { .destination = l->name };

	if (spool_study_progress(l->up->sp, study, see_remainder, &rest) < 0 ||
	    rest.owed > 0)
		return false;
	if (ret_delivered != NULL)
		*ret_delivered = rest.delivered;
	return true;
}
