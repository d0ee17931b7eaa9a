/* fuzz_commitment.c - the data sets of storage commitment, as a peer sends them, in each
 * syntax that is accepted; what was read is written and read again as the same.
 */
#include <assert.h>
#include <string.h>

#include "gateway/dicom/commitment.h"

#define TEXT_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const syntaxes[] = { DICOM_UID_IMPLICIT_LE,
		DICOM_UID_EXPLICIT_LE, DICOM_UID_EXPLICIT_BE };
	const struct dicom_syntax *s;
	struct dicom_commitment c, again;
	struct buf b = BUF_INIT(TEXT_MAX);

	if (size < 1)
		return 0;
	s = dicom_syntax_find(syntaxes[data[0] % 3]);
	if (dicom_commitment_parse(data + 1, size - 1, s, &c) < 0)
		return 0;
	assert(c.transaction[0] != '\0' && c.n <= DICOM_COMMITMENT_MAX);
	if (dicom_commitment_write(&b, &c, s) == 0) {
		assert(dicom_commitment_parse(b.data, b.len, s, &again) == 0);
		assert(again.n == c.n);
		assert(strcmp(again.transaction, c.transaction) == 0);
		dicom_commitment_free(&again);
	}
	buf_free(&b);
	dicom_commitment_free(&c);
	return 0;
}
