/* metrics.h - counters and gauges of the whole program, one table.
 *
 * Adding one is a line in METRICS. Values are relaxed atomics: any thread, no
 * lock. Names follow the Prometheus conventions (_total for counters).
 */
#ifndef CW_BASE_METRICS_H
#define CW_BASE_METRICS_H

#include <stdint.h>

#define METRICS(X)                                                              \
	X(CONNECTIONS, "connections_total", "connections accepted")             \
	X(ASSOCIATIONS, "associations_total", "associations accepted")          \
	X(ASSOCIATIONS_REFUSED, "associations_refused_total",                   \
	    "associations refused")                                             \
	X(ASSOCIATIONS_ABORTED, "associations_aborted_total",                   \
	    "associations that ended without a release")                        \
	X(ECHOES, "echo_total", "C-ECHO answered")                              \
	X(STORED, "stored_total", "C-STORE answered with Success")              \
	X(STORE_REFUSED, "store_refused_total", "C-STORE answered otherwise")   \
	X(RECEIVED_BYTES, "received_bytes_total", "data set bytes promised")    \
	X(DUPLICATES, "duplicates_total", "the same bytes received again")      \
	X(DELIVERED, "delivered_total", "deliveries confirmed")                 \
	X(DELIVERED_BYTES, "delivered_bytes_total", "data set bytes confirmed") \
	X(REFUSED, "refused_total", "deliveries set aside")                     \
	X(UPLOAD_REQUESTS, "upload_requests_total", "upload requests sent")     \
	X(UPLOAD_FAILURES, "upload_failures_total", "upload requests failed")

enum metric {
#define X(id, name, help) METRIC_##id,
	METRICS(X)
#undef X
	METRIC_COUNT
};

void	    metric_add(enum metric m, uint64_t n);
uint64_t    metric_get(enum metric m);
const char *metric_name(enum metric m);	/* without the "causeway_" prefix */
const char *metric_help(enum metric m);

#endif
