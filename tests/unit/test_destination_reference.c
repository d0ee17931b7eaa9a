/* test_destination_reference.c - docs/CONFIGURATION.md is what the option tables
 * say, those of every kind of destination and credential included.
 *
 * UPDATE=1 in the environment writes it anew instead (`make reference`).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/destination/destination.h"
#include "gateway/http/http.h"

#define FILE_NAME "docs/CONFIGURATION.md"
#define KINDS_MAX 32

static void
register_kinds(void)
{
	static const struct config_kind *d[KINDS_MAX + 1], *c[KINDS_MAX + 1];
	size_t i;

	for (i = 0; destination_kinds()[i] != NULL; i++)
		d[i] = &destination_kinds()[i]->config;
	for (i = 0; http_credential_kinds()[i] != NULL; i++)
		c[i] = &http_credential_kinds()[i]->config;
	config_set_kinds(d, c);
}

static void
the_reference_is_what_the_tables_say(void **state)
{
	struct buf b = BUF_INIT(1u << 20);
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)state;
	register_kinds();
	assert_int_equal(config_reference(&b), 0);
	if (getenv("UPDATE") != NULL) {
		FILE *f = fopen(FILE_NAME, "w");

		assert_non_null(f);
		assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
		assert_int_equal(fclose(f), 0);
	}
	assert_int_equal(fdio_slurp(AT_FDCWD, FILE_NAME, 1u << 20, &text, &len), 0);
	assert_string_equal(text, b.data);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_is_what_the_tables_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
