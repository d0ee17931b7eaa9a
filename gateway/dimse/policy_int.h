/* policy_int.h - who may associate, and for what. Pure: a snapshot of the
 * configuration and a request in, a verdict out.
 */
#ifndef CW_DIMSE_POLICY_INT_H
#define CW_DIMSE_POLICY_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "gateway/association/association.h"
#include "spool/spool.h"

/* Beside CONFIG_ALLOW_*: no entry of `peers` gives it. It is the title of a PACS that
 * we ask for storage commitment, and it may report on it; nothing else. */
#define POLICY_ALLOW_REPORT (1u << 31)

struct policy_verdict {
	bool	 accept;
	bool	 known;			/* an entry of `peers` is meant */
	enum assoc_reject_result result;	/* unless accepted */
	enum assoc_reject_source source;
	unsigned reason;
	char	 why[160];		/* for people */
	const struct config_peer *peer;	/* NULL: access is open */
	unsigned allow;			/* CONFIG_ALLOW_*, POLICY_ALLOW_REPORT */
	int64_t	 message_ms, idle_ms;
	uint32_t max_pdu;
};

void policy_judge(const struct config *cfg, const struct assoc_request *rq,
    struct policy_verdict *ret);
/* Room for one more? Changes an accepting verdict only. */
void policy_limit(const struct config *cfg, unsigned running,
    enum spool_space space, struct policy_verdict *v);

/* needle ("CN=us3") is one or several whole parts of subject (RFC 2253). */
bool policy_subject_has(const char *subject, const char *needle);

/* NULL: what this caller sends has a place to go or may be held. Else why it must
 * be refused, as an Error Comment (rule 1). */
const char *policy_unroutable(const struct config *cfg, const char *calling,
    const char *called);

#endif
