/* sigv4_vectors.h - published signatures of AWS Signature Version 4.
 *
 * The 38 cases of awslabs/aws-c-auth, tests/aws-signing-test-suite/v4 (Apache License
 * 2.0, copyright Amazon.com, Inc. or its affiliates), those of botocore's
 * aws4_testsuite among them; signed by headers. Key AKIDEXAMPLE, us-east-1, service
 * `service`, 20150830T123600Z, host example.amazonaws.com. The first four S3 cases
 * and the chunked ones: Amazon S3 API reference, "Signature Calculations for the
 * Authorization Header"; key AKIAIOSFODNN7EXAMPLE, us-east-1, 20130524T000000Z.
 */
#ifndef CW_TESTS_SIGV4_VECTORS_H
#define CW_TESTS_SIGV4_VECTORS_H

#include "gateway/http/http.h"

struct sigv4_vector {
	const char *name, *method, *path, *query;
	bool as_it_is;	/* the path is not normalized: as S3 has it */
	struct http_header headers[6];	/* signed besides host and x-amz-date */
	const char *signature;
};

static const struct sigv4_vector generic_vectors[] = {
	{ "get-header-key-duplicate",
	    "GET", "/", "",
	    false,
	    {
		{ "My-Header1", "value2" },
		{ "My-Header1", "value2" },
		{ "My-Header1", "value1" } },
	    "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
	{ "get-header-value-multiline",
	    "GET", "/", "",
	    false,
	    {
		{ "My-Header1", "value1\n  value2\n     value3" } },
	    "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd" },
	{ "get-header-value-order",
	    "GET", "/", "",
	    false,
	    {
		{ "My-Header1", "value4" },
		{ "My-Header1", "value1" },
		{ "My-Header1", "value3" },
		{ "My-Header1", "value2" } },
	    "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
	{ "get-header-value-trim",
	    "GET", "/", "",
	    false,
	    {
		{ "My-Header1", " value1" },
		{ "My-Header2", " \"a   b   c\"" } },
	    "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "get-relative-normalized",
	    "GET", "/example/..", "",
	    false,
	    { { NULL, NULL } },
	    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-relative-relative-normalized",
	    "GET", "/example1/example2/../..", "",
	    false,
	    { { NULL, NULL } },
	    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-relative-relative-unnormalized",
	    "GET", "/example1/example2/../..", "",
	    true,
	    { { NULL, NULL } },
	    "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b" },
	{ "get-relative-unnormalized",
	    "GET", "/example/..", "",
	    true,
	    { { NULL, NULL } },
	    "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282" },
	{ "get-slash-dot-slash-normalized",
	    "GET", "/./", "",
	    false,
	    { { NULL, NULL } },
	    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-slash-dot-slash-unnormalized",
	    "GET", "/./", "",
	    true,
	    { { NULL, NULL } },
	    "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145" },
	{ "get-slash-normalized",
	    "GET", "//", "",
	    false,
	    { { NULL, NULL } },
	    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-slash-pointless-dot-normalized",
	    "GET", "/./example", "",
	    false,
	    { { NULL, NULL } },
	    "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5" },
	{ "get-slash-pointless-dot-unnormalized",
	    "GET", "/./example", "",
	    true,
	    { { NULL, NULL } },
	    "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff" },
	{ "get-slash-unnormalized",
	    "GET", "//", "",
	    true,
	    { { NULL, NULL } },
	    "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e" },
	{ "get-slashes-normalized",
	    "GET", "//example//", "",
	    false,
	    { { NULL, NULL } },
	    "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84" },
	{ "get-slashes-unnormalized",
	    "GET", "//example//", "",
	    true,
	    { { NULL, NULL } },
	    "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5" },
	{ "get-space-normalized",
	    "GET", "/example space/", "",
	    false,
	    { { NULL, NULL } },
	    "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-space-unnormalized",
	    "GET", "/example space/", "",
	    true,
	    { { NULL, NULL } },
	    "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-unreserved",
	    "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
	    "vwxyz", "",
	    false,
	    { { NULL, NULL } },
	    "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
	{ "get-utf8",
	    "GET", "/\341\210\264", "",
	    false,
	    { { NULL, NULL } },
	    "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-vanilla-empty-query-key",
	    "GET", "/", "Param1=value1",
	    false,
	    { { NULL, NULL } },
	    "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
	{ "get-vanilla-query-order-encoded",
	    "GET", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
	    false,
	    { { NULL, NULL } },
	    "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac" },
	{ "get-vanilla-query-order-key-case",
	    "GET", "/", "Param2=value2&Param1=value1",
	    false,
	    { { NULL, NULL } },
	    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-query-unreserved",
	    "GET", "/", "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
	    "wxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
	    "rstuvwxyz",
	    false,
	    { { NULL, NULL } },
	    "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-vanilla-query",
	    "GET", "/", "",
	    false,
	    { { NULL, NULL } },
	    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-vanilla-utf8-query",
	    "GET", "/", "\341\210\264=bar",
	    false,
	    { { NULL, NULL } },
	    "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
	{ "get-vanilla-with-session-token",
	    "GET", "/", "",
	    false,
	    {
		{ "x-amz-security-token",
		    "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf1942"
		    "67" } },
	    "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
	{ "get-vanilla",
	    "GET", "/", "",
	    false,
	    { { NULL, NULL } },
	    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "post-header-key-case",
	    "POST", "/", "",
	    false,
	    { { NULL, NULL } },
	    "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-header-key-sort",
	    "POST", "/", "",
	    false,
	    {
		{ "My-Header1", "value1" } },
	    "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
	{ "post-header-value-case",
	    "POST", "/", "",
	    false,
	    {
		{ "My-Header1", "VALUE1" } },
	    "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
	{ "post-sts-header-after",
	    "POST", "/", "",
	    false,
	    { { NULL, NULL } },
	    "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-sts-header-before",
	    "POST", "/", "",
	    false,
	    {
		{ "x-amz-security-token",
		    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZ"
		    "TwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkP"
		    "pKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
		    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7Z"
		    "D0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx"
		    "3iSIlTJabIQwj2ICCR/oLxBA==" } },
	    "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
	{ "post-vanilla-empty-query-value",
	    "POST", "/", "Param1=value1",
	    false,
	    { { NULL, NULL } },
	    "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
	{ "post-vanilla-query",
	    "POST", "/", "Param1=value1",
	    false,
	    { { NULL, NULL } },
	    "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
	{ "post-vanilla",
	    "POST", "/", "",
	    false,
	    { { NULL, NULL } },
	    "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-x-www-form-urlencoded-parameters",
	    "POST", "/", "",
	    false,
	    {
		{ "Content-Type", "application/x-www-form-urlencoded; charset=utf-8" },
		{ "Content-Length", "13" },
		{ "x-amz-content-sha256",
		    "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b"
		    "6e" } },
	    "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422" },
	{ "post-x-www-form-urlencoded",
	    "POST", "/", "",
	    false,
	    {
		{ "Content-Type", "application/x-www-form-urlencoded" },
		{ "Content-Length", "13" },
		{ "x-amz-content-sha256",
		    "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b"
		    "6e" } },
	    "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b" },
};

#define HASH_OF_NONE \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Host examplebucket.s3.amazonaws.com. */
static const struct sigv4_vector s3_vectors[] = {
	{ "get-object-range", "GET", "/test.txt", "", true,
	    { { "Range", "bytes=0-9" },
		{ "x-amz-content-sha256", HASH_OF_NONE } },
	    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "put-object", "PUT", "/test%24file.text", "", true,
	    { { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
		{ "x-amz-storage-class", "REDUCED_REDUNDANCY" },
		{ "x-amz-content-sha256",
		    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" } },
	    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "get-lifecycle", "GET", "/", "lifecycle", true,
	    { { "x-amz-content-sha256", HASH_OF_NONE } },
	    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "list-objects", "GET", "/", "max-keys=2&prefix=J", true,
	    { { "x-amz-content-sha256", HASH_OF_NONE } },
	    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

/* Host s3.amazonaws.com; 66,560 bytes of `a` in chunks of 65,536, 1,024 and 0. */
static const struct sigv4_vector chunked_seed = {
	"chunked", "PUT", "/examplebucket/chunkObject.txt", "", true,
	{ { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
	    { "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" },
	    { "Content-Encoding", "aws-chunked" },
	    { "x-amz-decoded-content-length", "66560" },
	    { "Content-Length", "66824" } },
	"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
};
static const char *const chunked_signatures[] = {
	"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
	"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
	"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
};

static const struct sigv4_vector trailer_seed = {
	"trailer", "PUT", "/examplebucket/chunkObject.txt", "", true,
	{ { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
	    { "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" },
	    { "Content-Encoding", "aws-chunked" },
	    { "x-amz-decoded-content-length", "66560" },
	    { "x-amz-trailer", "x-amz-checksum-crc32c" } },
	"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
};
static const char *const trailer_signatures[] = {
	"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
	"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
	"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
};
#define TRAILER "x-amz-checksum-crc32c:sOO8/Q==\n"
#define TRAILER_SIGNATURE \
	"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"

#endif
