/* echo.c - C-ECHO (PS3.4 annex A, PS3.7 9.1.5). */
#include "gateway/base/metrics.h"
#include "gateway/dimse/dimse_int.h"

int
serve_echo(struct session *s, const struct dicom_command *rq, uint8_t context)
{
	struct dicom_command rsp = { .status = DICOM_STATUS_SUCCESS };

	if ((s->verdict.allow & CONFIG_ALLOW_ECHO) == 0) {
		rsp.status = DICOM_STATUS_NOT_AUTHORIZED;
	} else {
		s->echoes++;
		metric_add(METRIC_ECHOES, 1);
	}
	return session_respond(s, context, rq, &rsp);
}
