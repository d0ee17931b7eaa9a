/* metrics.c - the table of counters; see METRICS for what there is. */
#include <assert.h>
#include <stdatomic.h>

#include "gateway/base/metrics.h"

static const struct {
	const char *name;
	const char *help;
} metric_table[METRIC_COUNT] = {
#define X(id, metric_name, metric_help) [METRIC_##id] = { metric_name, metric_help },
	METRICS(X)
#undef X
};

static _Atomic(uint64_t) metric_value[METRIC_COUNT];

void
metric_add(enum metric m, uint64_t n)
{
	assert(m < METRIC_COUNT);
	atomic_fetch_add_explicit(&metric_value[m], n, memory_order_relaxed);
}

uint64_t
metric_get(enum metric m)
{
	assert(m < METRIC_COUNT);
	return atomic_load_explicit(&metric_value[m], memory_order_relaxed);
}

const char *
metric_name(enum metric m)
{
	assert(m < METRIC_COUNT);
	return metric_table[m].name;
}

const char *
metric_help(enum metric m)
{
	assert(m < METRIC_COUNT);
	return metric_table[m].help;
}
