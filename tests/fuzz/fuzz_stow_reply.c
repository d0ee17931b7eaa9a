/* fuzz_stow_reply.c - Store Instances Responses of hostile servers. Each answer
 * that comes out can be found again, and a UID has one only.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "gateway/destination/stow_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(stow_answers_free) struct stow_answers a = { 0 };

	if (stow_reply_read("application/dicom+json", (const char *)data, size,
		&a) < 0)
		return 0;
	for (size_t i = 0; i < a.n; i++) {
		assert(stow_answers_find(&a, a.v[i].uid) == &a.v[i]);
		assert(a.v[i].said != STOW_SILENT);
		assert(strlen(stow_words(a.v[i].code)) > 0);
	}
	return 0;
}
