/* test_base_log.c - a line is one line, whatever the values are.
 *
 * log.c is included to reach what its lines are built of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <fcntl.h>

#include "gateway/base/log.c"

/* The line of one string value, without prefix and key. */
static const char *
quote(const char *value)
{
	static struct line l;
	const struct log_field fields[] = { LOG_STR("v", value), { 0 } };

	build_line(&l, LOG_INFO, "", fields, true);
	assert_memory_equal(l.text, "<6> v=", 6);
	return l.text + 6;
}

static void
test_message_then_fields(void **state)
{
	const struct log_field fields[] = {
		LOG_U64("assoc", 7), LOG_STR("calling", "CT1"),
		LOG_I64("delta", -3), LOG_HEX("status", 0xa700),
		LOG_HEX("reason", 1), LOG_ERR(-ENOSPC), LOG_STR("none", NULL),
		{ 0 },
	};
	struct line l;

	(void)state;
	build_line(&l, LOG_ERROR, "association accepted", fields, true);
	assert_string_equal(l.text, "<3>association accepted assoc=7 "
	    "calling=\"CT1\" delta=-3 status=A700H reason=0001H "
	    "error=\"No space left on device\" none=-");
}

static void
test_value_cannot_forge_a_line(void **state)
{
	(void)state;
	assert_string_equal(quote("a\nb\r\t\x7f\x1b[2J"),
	    "\"a\\x0ab\\x0d\\x09\\x7f\\x1b[2J\"");
}

static void
test_value_cannot_forge_a_field(void **state)
{
	(void)state;
	assert_string_equal(quote("x\" id=\"1\\"),
	    "\"x\\x22 id=\\x221\\x5c\"");
}

static void
test_utf8_stays_and_the_rest_is_escaped(void **state)
{
	(void)state;
	assert_string_equal(quote("Röntgen 東 \xf0\x9f\xa9\xbb"),
	    "\"Röntgen 東 \xf0\x9f\xa9\xbb\"");
	assert_string_equal(quote("M\xfcller"), "\"M\\xfcller\"");
	assert_string_equal(quote("\xc0\xaf"), "\"\\xc0\\xaf\"");
	assert_string_equal(quote("\xe0\x80\x80"), "\"\\xe0\\x80\\x80\"");
	assert_string_equal(quote("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"");
	assert_string_equal(quote("\xf4\x90\x80\x80"),
	    "\"\\xf4\\x90\\x80\\x80\"");
	assert_string_equal(quote("\xff"), "\"\\xff\"");
	assert_string_equal(quote("a\xe6\x9d"), "\"a\\xe6\\x9d\"");
}

static void
test_value_cannot_steer_a_terminal(void **state)
{
	(void)state;
	assert_string_equal(quote("\xc2\x9b" "2J"), "\"\\xc2\\x9b2J\"");
	assert_string_equal(quote("\xe2\x80\xae"), "\"\\xe2\\x80\\xae\"");
	assert_string_equal(quote("\xe2\x80\xa8"), "\"\\xe2\\x80\\xa8\"");
	assert_string_equal(quote("\xe2\x81\xa6"), "\"\\xe2\\x81\\xa6\"");
}

static void
test_long_value_is_cut_between_characters(void **state)
{
	char value[1000] = "", want[300] = "\"";

	(void)state;
	memset(value, 'a', 255);
	memcpy(value + 255, "ö", 2);
	memset(value + 257, 'b', 600);
	memset(want + 1, 'a', 255);
	memcpy(want + 256, "\"...", 5);
	assert_string_equal(quote(value), want);

	value[256] = '\0';
	value[255] = 'a';
	assert_int_equal(strlen(quote(value)), 258);
}

static void
test_line_that_is_full_drops_whole_fields(void **state)
{
	struct log_field fields[40] = { { 0 } };
	char value[200];
	struct line l;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 39; i++)
		fields[i] = (struct log_field)LOG_STR("k", value);
	build_line(&l, LOG_INFO, "m", fields, true);
	assert_true(l.len < LINE_SIZE);
	assert_int_equal(strlen(l.text), l.len);
	assert_string_equal(l.text + l.len - 6, "v\" ...");
}

static void
test_message_cannot_break_the_line(void **state)
{
	const struct log_field none[] = { { 0 } };
	struct line l;

	(void)state;
	build_line(&l, LOG_WARNING, "two\nlines \"quoted\"", none, true);
	assert_string_equal(l.text, "<4>two\\x0alines \"quoted\"");
}

static void
test_rule_39_line_begins_with_time_and_offset(void **state)
{
	const struct log_field none[] = { { 0 } };
	int year, month, day, h, m, s, oh, om, end = 0;
	struct line l;
	char sign;

	(void)state;
	build_line(&l, LOG_INFO, "ready", none, false);
	assert_int_equal(sscanf(l.text, "%4d-%2d-%2dT%2d:%2d:%2d%c%2d:%2d%n",
	    &year, &month, &day, &h, &m, &s, &sign, &oh, &om, &end), 9);
	assert_string_equal(l.text + end, " info: ready");
}

static void
count_line(void *arg, const char *line)
{
	(void)line;
	(*(int *)arg)++;
	errno = EPERM;
}

static void
test_level_and_errno(void **state)
{
	int lines = 0;

	(void)state;
	log_capture(count_line, &lines);
	errno = ENOENT;
	log_info("shown");
	assert_int_equal(errno, ENOENT);
	log_debug("not shown", LOG_U64("id", 1));
	assert_int_equal(lines, 1);
	log_set_level(LOG_ERROR);
	log_warn("not shown");
	log_set_level(LOG_DEBUG);
	log_debug("shown", LOG_U64("id", 1));
	assert_int_equal(lines, 2);
	log_set_level(LOG_INFO);
	log_capture(NULL, NULL);
}

/* Returns what a log line looks like to whoever holds stderr's other end. */
static size_t
log_into_pipe(char *text, size_t size, bool as_journal)
{
	int saved = dup(STDERR_FILENO), pipes[2];
	char stream[64];
	struct stat st;
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fstat(pipes[1], &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju",
	    (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + !as_journal);
	(void)setenv("JOURNAL_STREAM", stream, 1);
	(void)dup2(pipes[1], STDERR_FILENO);
	to_journal = false;
	detect_journal();
	log_info("ready", LOG_U64("id", 1));
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	(void)close(pipes[1]);
	n = read(pipes[0], text, size - 1);
	assert_true(n > 0);
	text[n] = '\0';
	(void)close(pipes[0]);
	return (size_t)n;
}

static void
test_journal_gets_priorities(void **state)
{
	char text[256];

	(void)state;
	(void)pthread_once(&journal_once, detect_journal);
	(void)log_into_pipe(text, sizeof(text), true);
	assert_string_equal(text, "<6>ready id=1\n");
}

static void
test_inherited_journal_variable_does_not_count(void **state)
{
	char text[256];

	(void)state;
	(void)pthread_once(&journal_once, detect_journal);
	(void)log_into_pipe(text, sizeof(text), false);
	assert_non_null(strstr(text, " info: ready id=1\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_then_fields),
		cmocka_unit_test(test_value_cannot_forge_a_line),
		cmocka_unit_test(test_value_cannot_forge_a_field),
		cmocka_unit_test(test_utf8_stays_and_the_rest_is_escaped),
		cmocka_unit_test(test_value_cannot_steer_a_terminal),
		cmocka_unit_test(test_long_value_is_cut_between_characters),
		cmocka_unit_test(test_line_that_is_full_drops_whole_fields),
		cmocka_unit_test(test_message_cannot_break_the_line),
		cmocka_unit_test(test_rule_39_line_begins_with_time_and_offset),
		cmocka_unit_test(test_level_and_errno),
		cmocka_unit_test(test_journal_gets_priorities),
		cmocka_unit_test(test_inherited_journal_variable_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
