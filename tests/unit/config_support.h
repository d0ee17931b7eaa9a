/* config_support.h - what the tests of the configuration share: loading from text
 * that must be right, or wrong in these words.
 */
#ifndef CW_TESTS_UNIT_CONFIG_SUPPORT_H
#define CW_TESTS_UNIT_CONFIG_SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/config_int.h"
#include "tests/unit/config_kinds.h"

static inline int
use_fake_kinds(void **state)
{
	(void)state;
	config_set_kinds(fake_destinations, fake_credentials);
	return 0;
}

/* Fails the test with the problems if there are any. */
static inline const struct config *
load_good(const char *text)
{
	struct buf problems = BUF_INIT(1 << 20);
	const struct config *c = NULL;

	if (config_load_text("t.yaml", text, strlen(text), &c, &problems) < 0)
		fail_msg("%s", problems.data);
	assert_int_equal(problems.len, 0);
	buf_free(&problems);
	return c;
}

/* The problems must be exactly these lines. */
static inline void
load_bad_bytes(const char *text, size_t len, const char *want)
{
	struct buf problems = BUF_INIT(1 << 20);
	const struct config *c = NULL;
	int r;

	r = config_load_text("t.yaml", text, len, &c, &problems);
	assert_int_equal(r, -EINVAL);
	assert_null(c);
	assert_string_equal(problems.data, want);
	buf_free(&problems);
}

static inline void
load_bad(const char *text, const char *want)
{
	load_bad_bytes(text, strlen(text), want);
}

#endif
