/* fuzz_reply.c - libFuzzer: what a server answers, as JSON or as XML.
 *
 * The first byte chooses. What was understood is written as JSON, which must be
 * understood; from the second time on nothing may change any more (the first
 * writing may drop what no JSON can say, such as a name's fourth group).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/dicom/dataset.h"

#define OUT_MAX (256u << 20)

static void
check_written(const struct dicom_dataset *d, unsigned time)
{
	struct buf once = BUF_INIT(OUT_MAX), twice = BUF_INIT(OUT_MAX);
	struct dicom_dataset **sets = NULL;
	size_t n = 0;
	int r;

	assert(dicom_json_write(&once, d) == 0);
	r = dicom_json_parse(once.data, once.len, &sets, &n);
	/* A value that grew by its escapes may be too much. */
	assert(r == 0 || r == -EMSGSIZE);
	if (r == 0 && time == 1) {
		assert(n == 1);
		check_written(sets[0], 2);
	} else if (r == 0) {
		assert(dicom_json_write(&twice, sets[0]) == 0);
		assert(once.len == twice.len);
		assert(memcmp(once.data, twice.data, once.len) == 0);
	}
	dicom_datasets_free(sets, n);
	buf_free(&once);
	buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct dicom_dataset **sets = NULL, *d = NULL;
	size_t n = 0;
	int r;

	if (len == 0)
		return 0;
	if (data[0] == '<') {
		r = dicom_xml_parse((const char *)data, len, &d);
		assert((r == 0) == (d != NULL));
		if (r == 0)
			check_written(d, 1);
		dicom_dataset_free(d);
	} else {
		r = dicom_json_parse((const char *)data, len, &sets, &n);
		for (size_t i = 0; i < n; i++)
			check_written(sets[i], 1);
		dicom_datasets_free(sets, n);
	}
	assert(r == 0 || r == -EBADMSG || r == -EMSGSIZE);
	return 0;
}
