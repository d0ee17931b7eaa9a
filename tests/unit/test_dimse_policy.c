/* test_dimse_policy.c - who may associate, in tables (rules 1, 16, 17, 18, 19, 21).
 */
#include "tests/unit/config_support.h"
#include "gateway/dimse/policy_int.h"

#define GATEWAY "gateway: {ae_titles: [CAUSEWAY, OLDPACS], max_associations: 2, " \
	"max_pdu: 65536, message_timeout: 40s, idle_timeout: 10min, " \
	"listen: [{port: 2762, tls: {certificate_file: " FAKE_CERTIFICATE \
	", key_file: " FAKE_CERTIFICATE ", client_ca_file: " FAKE_CERTIFICATE \
	"}}]}\n" \
	"spool: {directory: /var/lib/x}\n"

static const char peers_yaml[] = GATEWAY
    "peers:\n"
    "  - {ae_title: '*', address: 10.0.0.0/8, allow: [echo]}\n"
    "  - {ae_title: '*', address: 10.9.0.0/16, allow: [echo, store]}\n"
    "  - {ae_title: CT1, address: [10.1.2.0/24, 10.1.3.7], allow: [store]}\n"
    "  - {ae_title: CT1, address: 10.1.2.9, allow: [echo, store], max_pdu: 32768,"
    " idle_timeout: 30min}\n"
    "  - {ae_title: ANYWHERE, allow: [echo]}\n"
    "  - {ae_title: US3, address: 10.1.4.1, allow: [echo, store],"
    " tls: {required: true, subject: 'CN=us3'}}\n"
    "  - {ae_title: V6, address: '2001:db8::/32', allow: [store]}\n";

static struct assoc_request
request(const char *calling, const char *address)
{
	struct assoc_request rq = { .right_application = true };

	(void)snprintf(rq.calling, sizeof(rq.calling), "%s", calling);
	(void)snprintf(rq.called, sizeof(rq.called), "CAUSEWAY");
	(void)snprintf(rq.address, sizeof(rq.address), "%s", address);
	return rq;
}

static void
test_rule_17_most_specific_peer(void **state)
{
	static const struct {
		const char *title, *address;
		unsigned reason;	/* 0: accepted */
		unsigned allow;
	} cases[] = {
		{ "CT1", "10.1.2.1", 0, CONFIG_ALLOW_STORE },
		{ "CT1", "10.1.2.9", 0, CONFIG_ALLOW_ECHO | CONFIG_ALLOW_STORE },
		{ "CT1", "10.1.3.7", 0, CONFIG_ALLOW_STORE },
		{ "CT1", "10.2.2.2", 0, CONFIG_ALLOW_ECHO },	/* by '*' */
		{ "CT1", "192.168.1.1", 3, 0 },
		{ "ct1", "10.1.2.1", 0, CONFIG_ALLOW_ECHO },	/* rule 16: case */
		{ "OTHER", "10.9.1.1", 0, CONFIG_ALLOW_ECHO | CONFIG_ALLOW_STORE },
		{ "OTHER", "10.8.1.1", 0, CONFIG_ALLOW_ECHO },
		{ "OTHER", "11.1.1.1", 3, 0 },
		{ "ANYWHERE", "10.9.1.1", 0, CONFIG_ALLOW_ECHO }, /* title first */
		{ "ANYWHERE", "8.8.8.8", 0, CONFIG_ALLOW_ECHO },
		{ "V6", "2001:db8::5", 0, CONFIG_ALLOW_STORE },
		{ "V6", "2001:db9::5", 3, 0 },
		{ "", "8.8.8.8", 3, 0 },
	};
	const struct config *c = load_good(peers_yaml);
	struct policy_verdict v;
	struct assoc_request rq;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rq = request(cases[i].title, cases[i].address);
		policy_judge(c, &rq, &v);
		assert_int_equal(v.accept, cases[i].reason == 0);
		assert_int_equal(v.allow, cases[i].allow);
		if (v.accept)
			continue;
		assert_int_equal(v.result, ASSOC_REJECT_PERMANENT);
		assert_int_equal(v.source, ASSOC_BY_USER);
		assert_int_equal(v.reason, cases[i].reason);
		assert_string_not_equal(v.why, "");
	}
	rq = request("CT1", "192.168.1.1");
	policy_judge(c, &rq, &v);
	assert_string_equal(v.why, "calling title CT1 is not allowed from "
	    "192.168.1.1");
	config_unref(c);
}

static void
test_rule_16_called_titles(void **state)
{
	const struct config *c = load_good(peers_yaml), *any = load_good(
	    "gateway: {ae_title: CAUSEWAY, called: any}\naccess: open\n"
	    "spool: {directory: /var/lib/x}\n");
	struct assoc_request rq = request("CT1", "10.1.2.1");
	struct policy_verdict v;

	(void)state;
	(void)snprintf(rq.called, sizeof(rq.called), "OLDPACS");
	policy_judge(c, &rq, &v);
	assert_true(v.accept);
	(void)snprintf(rq.called, sizeof(rq.called), "oldpacs");
	policy_judge(c, &rq, &v);
	assert_false(v.accept);
	assert_int_equal(v.reason, 7);
	policy_judge(any, &rq, &v);
	assert_true(v.accept);
	assert_false(v.known);
	assert_int_equal(v.allow, CONFIG_ALLOW_ECHO | CONFIG_ALLOW_STORE);
	rq.right_application = false;
	policy_judge(any, &rq, &v);
	assert_int_equal(v.reason, 2);
	config_unref(c);
	config_unref(any);
}

static void
test_rule_21_certificate_bound_to_peer(void **state)
{
	static const struct {
		const char *version, *subject;
		unsigned reason;
	} cases[] = {
		{ NULL, NULL, 1 },
		{ "TLSv1.3", "", 3 },
		{ "TLSv1.3", "CN=us4,O=Site", 3 },
		{ "TLSv1.3", "CN=us33,O=Site", 3 },
		{ "TLSv1.3", "O=CN=us3x,CN=evil", 3 },
		{ "TLSv1.2", "CN=us3,O=Site", 0 },
		{ "TLSv1.2", "C=DE,CN=us3", 0 },
	};
	const struct config *c = load_good(peers_yaml);
	struct assoc_request rq = request("US3", "10.1.4.1");
	struct policy_verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rq.tls_version = cases[i].version;
		rq.tls_subject = cases[i].subject;
		policy_judge(c, &rq, &v);
		assert_int_equal(v.accept, cases[i].reason == 0);
		assert_true(v.known);
		if (!v.accept)
			assert_int_equal(v.reason, cases[i].reason);
	}
	assert_false(policy_subject_has("CN=a\\,CN=us3", "CN=us3"));
	assert_true(policy_subject_has("O=Site+CN=us3,C=DE", "CN=us3"));
	assert_true(policy_subject_has("CN=us3,O=Site", "CN=us3,O=Site"));
	assert_false(policy_subject_has("CN=us3", ""));
	config_unref(c);
}

static void
test_rule_18_timeouts_are_the_peers(void **state)
{
	const struct config *c = load_good(peers_yaml);
	struct assoc_request rq = request("CT1", "10.1.2.9");
	struct policy_verdict v;

	(void)state;
	policy_judge(c, &rq, &v);
	assert_int_equal(v.max_pdu, 32768);
	assert_int_equal(v.idle_ms, 30 * 60 * 1000);
	assert_int_equal(v.message_ms, 40 * 1000);
	rq = request("CT1", "10.1.2.8");
	policy_judge(c, &rq, &v);
	assert_int_equal(v.max_pdu, 65536);
	assert_int_equal(v.idle_ms, 10 * 60 * 1000);
	config_unref(c);
}

static void
test_rule_19_limits_are_transient(void **state)
{
	const struct config *c = load_good(peers_yaml);
	struct assoc_request rq = request("CT1", "10.1.2.9");
	struct policy_verdict v;

	(void)state;
	policy_judge(c, &rq, &v);
	policy_limit(c, 1, SPOOL_SPACE_GOOD, &v);
	assert_true(v.accept);
	policy_limit(c, 2, SPOOL_SPACE_GOOD, &v);
	assert_false(v.accept);
	assert_int_equal(v.result, ASSOC_REJECT_TRANSIENT);
	assert_int_equal(v.source, ASSOC_BY_PRESENTATION);
	assert_int_equal(v.reason, 2);
	policy_judge(c, &rq, &v);
	policy_limit(c, 0, SPOOL_SPACE_LOW, &v);
	assert_false(v.accept);
	assert_int_equal(v.result, ASSOC_REJECT_TRANSIENT);
	rq = request("NOBODY", "1.1.1.1");	/* what is final stays final */
	policy_judge(c, &rq, &v);
	policy_limit(c, 9, SPOOL_SPACE_OUT, &v);
	assert_int_equal(v.result, ASSOC_REJECT_PERMANENT);
	config_unref(c);
}

#define WEB "destinations: [{name: cloud, type: fakeweb, url: https://a.example/d}]\n"

static void
test_rule_1_storage_without_a_way(void **state)
{
	static const struct {
		const char *yaml, *calling;
		bool refused;
	} cases[] = {
		{ GATEWAY, "CT1", true },
		{ GATEWAY "unrouted: hold\n", "CT1", false },
		{ GATEWAY WEB, "CT1", false },
		{ GATEWAY WEB "unrouted: refuse\n", "CT1", false },
		{ GATEWAY WEB "unrouted: refuse\n"
		    "routes: [{from: MR*, to: [cloud]}]\n", "CT1", true },
		{ GATEWAY WEB "unrouted: refuse\n"
		    "routes: [{from: MR*, to: [cloud]}]\n", "MR7", false },
		{ GATEWAY WEB "routes: [{from: MR*, to: [cloud]}]\n", "CT1", false },
		{ GATEWAY WEB "unrouted: refuse\n"	/* some modality may match */
		    "routes: [{modality: CT, to: [cloud]}]\n", "CT1", false },
		{ GATEWAY WEB "unrouted: refuse\nroutes: [{from: CT1, to: [],"
		    " final: true}, {to: [cloud]}]\n", "CT1", true },
		{ GATEWAY WEB "unrouted: refuse\nroutes: [{from: CT1, to: [],"
		    " final: true}, {to: [cloud]}]\n", "CT2", false },
		{ GATEWAY WEB "unrouted: refuse\n"
		    "routes: [{called: OLDPACS, to: [cloud]}]\n", "CT1", true },
	};
	const struct config *c;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c = load_good(cases[i].yaml);
		why = policy_unroutable(c, cases[i].calling, "CAUSEWAY");
		assert_int_equal(why != NULL, cases[i].refused);
		if (why != NULL)
			assert_in_range(strlen(why), 1, 64);
		config_unref(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_17_most_specific_peer),
		cmocka_unit_test(test_rule_16_called_titles),
		cmocka_unit_test(test_rule_21_certificate_bound_to_peer),
		cmocka_unit_test(test_rule_18_timeouts_are_the_peers),
		cmocka_unit_test(test_rule_19_limits_are_transient),
		cmocka_unit_test(test_rule_1_storage_without_a_way),
	};

	return cmocka_run_group_tests(tests, use_fake_kinds, NULL);
}
