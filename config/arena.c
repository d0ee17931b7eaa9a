/* arena.c - memory that is released all at once.
 *
 * A snapshot is made of many small things that live and die together; none of
 * them is ever freed alone. Sizes are bounded by the limits of document.c.
 */
#include <stddef.h>
#include <string.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

struct config_arena_block {
	struct config_arena_block *next;
	max_align_t data[];
};

void *
config_arena_zalloc(struct config_arena *a, size_t size)
{
	struct config_arena_block *block;

	block = xcalloc(1, sizeof(*block) + size);
	block->next = a->blocks;
	a->blocks = block;
	return block->data;
}

char *
config_arena_strndup(struct config_arena *a, const char *s, size_t n)
{
	char *copy = config_arena_zalloc(a, n + 1);

	memcpy(copy, s, n);
	return copy;
}

void
config_arena_free(struct config_arena *a)
{
	struct config_arena_block *block = a->blocks, *next;

	for (; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	a->blocks = NULL;
}
