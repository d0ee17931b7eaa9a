/* test_config_network.c - which networks there are and what they hold. */
#include "tests/unit/config_support.h"

static void
well_formed(void **state)
{
	static const char *const good[] = { "10.1.2.0/24", "10.1.2.3",
		"0.0.0.0/0", "10.1.2.3/32", "2001:db8::1", "2001:db8::/32",
		"::/0", "::1/128", "::ffff:10.0.0.0/104", "fe80::/10" };
	static const char *const bad[] = { "", "/24", "10.1.2.0/", "10.1.2.0/33",
		"10.1.2.3/24", "10.1.2.0/024", "10.1.2", "010.1.2.3", "10.1.2.3.4",
		"10.1.2.0/24/8", "10.1.2.0/-1", "10.1.2.0/ 24", " 10.1.2.3",
		"2001:db8::/129", "2001:db8::1/32", "2001:zz::", "host.example",
		"*", "fe80::1%eth0", "10.1.2.0/99999999999999999999",
		"1111111111111111111111111111111111111111111111111111111111" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!config_network_ok(good[i]))
			fail_msg("%s is right", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (config_network_ok(bad[i]))
			fail_msg("%s is wrong", bad[i]);
		assert_true(config_network_bits(bad[i]) < 0);
		assert_false(config_network_has(bad[i], "10.1.2.3"));
	}
}

static void
holds_ipv4(void **state)
{
	(void)state;
	assert_true(config_network_has("10.1.2.0/24", "10.1.2.0"));
	assert_true(config_network_has("10.1.2.0/24", "10.1.2.255"));
	assert_false(config_network_has("10.1.2.0/24", "10.1.3.0"));
	assert_true(config_network_has("10.1.2.4/30", "10.1.2.7"));
	assert_false(config_network_has("10.1.2.4/30", "10.1.2.8"));
	assert_true(config_network_has("10.1.2.3", "10.1.2.3"));
	assert_false(config_network_has("10.1.2.3", "10.1.2.2"));
	assert_true(config_network_has("0.0.0.0/0", "255.255.255.255"));
	assert_false(config_network_has("0.0.0.0/0", "2001:db8::1"));
	assert_false(config_network_has("10.1.2.0/24", "nonsense"));
	assert_false(config_network_has("10.1.2.0/24", ""));
}

static void
holds_ipv6(void **state)
{
	(void)state;
	assert_true(config_network_has("2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(config_network_has("2001:db8::/32", "2001:db9::1"));
	assert_true(config_network_has("2001:db8:8000::/33", "2001:db8:8000::1"));
	assert_false(config_network_has("2001:db8:8000::/33", "2001:db8::1"));
	assert_true(config_network_has("2001:DB8:0:0::1", "2001:db8::1"));
	assert_true(config_network_has("fe80::/10", "fe80::1%eth0"));
	assert_true(config_network_has("::/0", "::1"));
}

static void
mapped_counts_as_ipv4(void **state)
{
	(void)state;
	assert_true(config_network_has("10.1.2.0/24", "::ffff:10.1.2.9"));
	assert_true(config_network_has("::ffff:10.0.0.0/104", "10.9.9.9"));
	assert_true(config_network_has("::ffff:10.1.2.3", "10.1.2.3"));
	assert_false(config_network_has("::/0", "::ffff:10.1.2.9"));
	assert_false(config_network_has("::/0", "10.1.2.9"));
	assert_true(config_network_has("::ffff:0:0/96", "1.2.3.4"));
	assert_false(config_network_has("::ffff:0:0/96", "::1"));
	assert_int_equal(config_network_bits("::ffff:10.0.0.0/104"), 8);
}

static void
the_most_specific_has_most_bits(void **state)
{
	(void)state;
	assert_int_equal(config_network_bits("0.0.0.0/0"), 0);
	assert_int_equal(config_network_bits("10.1.2.0/24"), 24);
	assert_int_equal(config_network_bits("10.1.2.3"), 32);
	assert_int_equal(config_network_bits("2001:db8::/32"), 32);
	assert_int_equal(config_network_bits("::1"), 128);
}

static void
sameness_ignores_spelling(void **state)
{
	(void)state;
	assert_true(config_network_same("2001:db8::1", "2001:0db8:0::0001/128"));
	assert_true(config_network_same("10.1.2.3", "::ffff:10.1.2.3"));
	assert_false(config_network_same("10.1.2.0/24", "10.1.2.0/25"));
	assert_false(config_network_same("0.0.0.0/0", "::/0"));
	assert_false(config_network_same("x", "x"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed),
		cmocka_unit_test(holds_ipv4),
		cmocka_unit_test(holds_ipv6),
		cmocka_unit_test(mapped_counts_as_ipv4),
		cmocka_unit_test(the_most_specific_has_most_bits),
		cmocka_unit_test(sameness_ignores_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
