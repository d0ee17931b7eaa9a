/* aws_ini_int.h - one profile of AWS's shared config and credentials files.
 *
 * Their grammar is nobody's INI: continuations, nested settings, comments that
 * need white space before them behind a value but not behind a section, names with
 * white space that are passed over.
 */
#ifndef CW_HTTP_AWS_INI_INT_H
#define CW_HTTP_AWS_INI_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"

enum aws_ini_kind {
	AWS_INI_CONFIG,		/* [profile x]; [default] alone may stand without */
	AWS_INI_CREDENTIALS,	/* [x] */
};

struct aws_ini;		/* the settings of one profile, from one file or two */

struct aws_ini *aws_ini_new(const char *profile);
void aws_ini_free(struct aws_ini *p);	/* wipes; takes NULL */

/* Adds what the text (of len bytes, NUL-terminated) says of the profile: the last
 * of duplicates wins, also over what was added before, so the config file comes
 * first. -EINVAL with why, as file:line. */
int  aws_ini_add(struct aws_ini *p, enum aws_ini_kind kind, const char *file,
	 const char *text, size_t len, struct buf *why);

bool aws_ini_found(const struct aws_ini *p);
/* The config file has it as [x] without `profile`, which does not count. */
bool aws_ini_misnamed(const struct aws_ini *p);
/* NULL: not set. Case of keys does not count. Held by p. */
const char *aws_ini_get(const struct aws_ini *p, const char *key);

#endif
