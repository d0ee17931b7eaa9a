/* fuzz_aws_ini.c - shared config and credentials files as people and programs may
 * leave them, and what a credential_process may print.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/aws_ini_int.h"
#include "gateway/http/aws_session_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first bytes say whose profile is looked for; both files may be the text. */
static void
try_files(const char *text, size_t len)
{
	static const char *const profiles[] = { "default", "foo", "a", "" };
	struct aws_ini *p = aws_ini_new(profiles[len % 4]);
	struct buf why = BUF_INIT(500);
	const char *value;

	if (aws_ini_add(p, AWS_INI_CONFIG, "config", text, len, &why) == 0)
		(void)aws_ini_add(p, AWS_INI_CREDENTIALS, "credentials", text, len,
		    &why);
	else
		assert(why.len > 0);
	value = aws_ini_get(p, "aws_access_key_id");
	assert(value == NULL || aws_ini_found(p));
	(void)aws_ini_misnamed(p);
	aws_ini_free(p);
	buf_free(&why);
}

static void
try_output(const char *text, size_t len)
{
	struct aws_keys keys = { 0 };
	struct buf why = BUF_INIT(500);
	int64_t when;

	if (aws_process_parse("fuzz", text, len, &keys, &why) == 0)
		assert(keys.id[0] != '\0' && keys.secret[0] != '\0');
	else
		assert(why.len > 0);
	aws_keys_free(&keys);
	buf_free(&why);
	(void)aws_time_parse(text, &when);
}

static void
try_command(char *text)
{
	const struct config_strings command = { .n = 1, .v = &text };
	struct buf why = BUF_INIT(100000);
	struct process *p;

	if (process_new(&command, &p, &why) == 0)
		process_free(p);
	else
		assert(why.len > 0);
	buf_free(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	try_files(copy, size);
	try_output(copy, size);
	try_command(copy);
	free(copy);
	return 0;
}
