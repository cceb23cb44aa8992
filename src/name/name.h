/* name/name.h - named objects, for the floors above. The public calls are in tarn.h; how names change: name.c. */
#ifndef TARN_NAME_H
#define TARN_NAME_H

#include "name/layout.h"
#include "participant/participant.h"

/* A private copy of one entry. */
struct name_copy {
    uint64_t entry, ref, size;
    uint32_t version;
    char type[NAME_TYPE_MOST + 1], name[NAME_MOST + 1];
};

/* Find it, or make it in a section of its own: allocate type->size zeroed bytes, let `fill` (may be NULL; in the same section)
 * complete them, bind them. Racing callers get the same one, complete. -EPERM: a section is open. */
int name_make(struct self *s, const char *name, const struct tarn_type *type,
              int (*fill)(struct self *s, uint64_t block, void *arg), void *arg, uint64_t *ret_ref);

/* Unbind in a section of its own; `retire` (may be NULL) is called in it, to retire what was bound. */
int name_unbind(struct self *s, const char *name, int (*retire)(struct self *s, const struct name_copy *n));

/* Run `read` until nobody changed names meanwhile, or with the names' lock held. It may be called several times, and must not trust
 * what it reads. Its result, or -EAGAIN (read-only attachment), or why the lock could not be taken. */
int name_read_quiet(struct tarn *seg, int (*read)(struct tarn *seg, void *arg), void *arg);

/* Copy the entry at ref, checking every length. 0, or -EUCLEAN without a sentence. *ret_next may be NULL. */
int name_copy_entry(const struct tarn *seg, uint64_t entry, struct name_copy *ret_copy, uint64_t *ret_next);

/* What is wrong with the names: `damage` is called for each fault, `reach` for each entry's block and then for the object that
 * it names. Takes no lock, writes nothing, is bounded whatever the bytes. What is in motion may be reported: look twice. */
struct name_checker {
    void (*damage)(uint64_t ref, const char *what, void *arg);
    void (*entry)(uint64_t block, void *arg);
    void (*object)(const struct name_copy *n, void *arg);
    void *arg;
};
int name_check(struct tarn *seg, const struct name_checker *c); /* 0, -ENOMEM */

/* By who is alone in the segment: entries that are none, or whose object is no whole block, are taken out of their chains, by one store each; what
 * they took is lost. `mended` is called for each. Believes nothing. */
void name_mend(struct tarn *seg, void (*mended)(uint64_t ref, const char *what, void *arg), void *arg);
/* What is wrong with an entry of a chain, or NULL. */
const char *name_entry_fault(struct tarn *seg, const struct name_copy *n, uint64_t chain);

static inline struct name_zone *name_zone_of(const struct tarn *seg)
{
    return (struct name_zone *)(seg->base + seg->geometry.zone[ZONE_NAME]);
}

extern const struct floor name_floor;

#endif
