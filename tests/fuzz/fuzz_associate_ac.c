/* fuzz_associate_ac.c - the body of an A-ASSOCIATE-AC, as a peer that we call sends it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/association/association.h"
#include "gateway/association/pdu_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pdu_accept ac;
	struct buf why = BUF_INIT(1000);
	const char *reason = NULL;
	int e;

	if (size < PDU_HEAD + 4 || size > PDU_HEAD + PDU_REQUEST_MAX)
		return 0;
	e = pdu_read_accept(data, size, &ac, &reason);
	assert(e == 0 || (e == -EPROTO && reason != NULL));
	if (e == 0)
		for (unsigned i = 0; i < 128; i++)
			assert(strlen(ac.context[i].syntax) <= DICOM_UID_MAX);
	pdu_explain_reject(data[7], data[8], data[9], "CAUSEWAY", "PACS", &why);
	assert(buf_error(&why) == 0);
	buf_free(&why);
	return 0;
}
