/* test_ctl_parse.c - the command line of causewayctl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

static struct ctl ctl;
static const struct ctl_command *command;
static char *said;

/* words: ends with NULL. */
static int
parse(const char *const *words)
{
	char *argv[16] = { (char *)(uintptr_t)"causewayctl" };
	size_t size;
	int argc = 1, r;
	FILE *out;

	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	free(said);
	out = open_memstream(&said, &size);
	ctl = (struct ctl){ .out = out, .err = out };
	command = NULL;
	r = ctl_parse(argc, argv, &ctl, &command);
	(void)fclose(out);
	ctl.words = NULL;	/* were in argv */
	return r;
}
#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static void
test_options_stand_anywhere(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-s", "/s", "--json", "status"), CTL_DONE);
	assert_string_equal(ctl.socket, "/s");
	assert_true(ctl.json);
	assert_string_equal(command->name, "status");
	assert_int_equal(PARSE("studies", "--state", "owed", "-n", "5", "--json"),
	    CTL_DONE);
	assert_true(ctl.json);
	assert_string_equal(ctl.state, "owed");
	assert_int_equal(ctl.limit, 5);
	assert_string_equal(ctl.socket, CTL_SOCKET);
}

static void
test_unknown_ones_are_usage(void **state)
{
	(void)state;
	assert_int_equal(parse((const char *const[]){ NULL }), CTL_USAGE);
	assert_int_equal(PARSE("frobnicate"), CTL_USAGE);
	assert_int_equal(PARSE("status", "--frobnicate"), CTL_USAGE);
	assert_int_equal(PARSE("status", "-s"), CTL_USAGE);
	assert_int_equal(PARSE("status", "word"), CTL_USAGE);
	assert_int_equal(PARSE("show"), CTL_USAGE);
	assert_int_equal(PARSE("show", "1.2", "1.3"), CTL_USAGE);
	assert_int_equal(PARSE("studies", "-n", "0"), CTL_USAGE);
	assert_int_equal(PARSE("studies", "-n", "x"), CTL_USAGE);
}

/* An option that a command does not know could have been meant to narrow it. */
static void
test_options_of_other_commands_are_usage(void **state)
{
	(void)state;
	assert_int_equal(PARSE("purge", "1.2", "--to", "cloud", "--yes", "--reason",
	    "r"), CTL_USAGE);
	assert_int_equal(PARSE("status", "--since", "2h"), CTL_USAGE);
	assert_int_equal(PARSE("retry", "1.2", "--yes"), CTL_USAGE);
	assert_int_equal(PARSE("hold", "1.2", "--to", "cloud"), CTL_USAGE);
}

static void
test_destroying_wants_consent(void **state)
{
	(void)state;
	assert_int_equal(PARSE("purge", "1.2"), CTL_USAGE);
	assert_non_null(strstr(said, "--yes"));
	assert_int_equal(PARSE("purge", "1.2", "--yes"), CTL_USAGE);
	assert_int_equal(PARSE("drop", "1.2", "--reason", "r"), CTL_USAGE);
	assert_int_equal(PARSE("drop", "1.2", "--yes", "--reason", ""), CTL_USAGE);
	assert_int_equal(PARSE("drop", "1.2", "--yes", "--reason", "r", "--to",
	    "cloud"), CTL_DONE);
	assert_true(ctl.yes);
	assert_string_equal(ctl.to, "cloud");
	assert_string_equal(ctl.reason, "r");
}

static void
test_help_names_every_command(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--help"), -1);
	for (const struct ctl_command *c = ctl_commands; c->name != NULL; c++)
		assert_non_null(strstr(said, c->name));
	for (const char *line = said; *line != '\0'; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
}

static int
forget(void **state)
{
	(void)state;
	free(said);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_stand_anywhere),
		cmocka_unit_test(test_unknown_ones_are_usage),
		cmocka_unit_test(test_options_of_other_commands_are_usage),
		cmocka_unit_test(test_destroying_wants_consent),
		cmocka_unit_test(test_help_names_every_command),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
