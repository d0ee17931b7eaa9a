/* fuzz_config.c - any bytes as a configuration: refused in words, or loaded, and
 * then what is printed of it loads again and prints the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_int.h"
#include "tests/unit/config_kinds.h"

#define PRINTED_BYTES (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
reload_printed(const struct config *c)
{
	struct buf once = BUF_INIT(PRINTED_BYTES), twice = BUF_INIT(PRINTED_BYTES);
	struct buf problems = BUF_INIT(PRINTED_BYTES);
	const struct config *again = NULL;
	int r;

	r = config_print(c, &once);
	assert(r == 0);
	if (once.len <= CONFIG_FILE_MAX) {
		r = config_load_text("print.yaml", once.data, once.len, &again,
		    &problems);
		assert(r == 0);
		r = config_print(again, &twice);
		assert(r == 0 && strcmp(once.data, twice.data) == 0);
		r = config_restart_needed(c, again, &problems);
		assert(r == 0 && problems.len == 0);
	}
	config_unref(again);
	buf_free(&once);
	buf_free(&twice);
	buf_free(&problems);
}

static void
try_networks(const uint8_t *data, size_t len)
{
	char *text = strndup((const char *)data, len);

	assert(text != NULL);
	assert(config_network_ok(text) == (config_network_bits(text) >= 0));
	(void)config_network_has(text, "10.1.2.3");
	(void)config_network_has("10.0.0.0/8", text);
	(void)config_url_wrong(text);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf problems = BUF_INIT(PRINTED_BYTES);
	const struct config *c = NULL;
	int r;

	config_set_kinds(fake_destinations, fake_credentials);
	r = config_load_text("fuzz.yaml", (const char *)data, len, &c, &problems);
	assert(r == 0 ? problems.len == 0 : problems.len > 0);
	if (r == 0)
		reload_printed(c);
	config_unref(c);
	buf_free(&problems);
	try_networks(data, len);
	return 0;
}
