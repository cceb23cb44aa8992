/* name/name.c - named objects: chains of immutable entries in the names' zone.
 *
 * Rests on sections (participant), the mutex (sync) and blocks (heap).
 * Changing. bind, find-or-make and unbind are sections of their own, -EPERM in an open one, with the names' lock held until the section
 * has ended. Under it, in this order: changes + 1; the new entry is allocated and filled; the one word that links or unlinks is
 * saved and stored; commit. The commit of the section is the commit point: it binds the name and allocates object and entry together.
 * Finding takes no lock: read `changes`; the lock's owner must be nobody; read the chain; `changes` must be the same. Whoever
 * changes names takes the lock and counts before his first store, so a chain read in between holds committed entries only, and none of
 * its blocks was reused meanwhile: no pin is needed, and a read-only attachment does the same. If the lock is held, a writable attachment
 * takes it (as an inner lock, so in a section too it is given up at once); a read-only one tries again for some
 * 50 ms, then returns -EAGAIN.
 * It does not keep anybody from freeing a block that still has a name, nor from binding two names to one block. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "heap/heap.h"
#include "name/name.h"
#include "sync/sync.h"

#define TRIES_READONLY 64
#define TRIES_WRITABLE 4

/* ---- one chain ---- */

/* Where a walk along a chain is. `mark` goes behind, to notice a circle (Brent): a walk ends whatever the bytes. */
struct walk {
    const struct tarn *seg;
    uint64_t at, mark, steps, turn;
};

static struct walk walk_from(const struct tarn *seg, uint64_t head)
{
    return (struct walk){.seg = seg, .at = head, .turn = 1};
}

/* 1: *e is the entry at w->at, checked, with its texts; then go on with w->at = its next. 0: the end. -EUCLEAN. */
static int walk_step(struct walk *w, const struct name_entry **ret_entry)
{
    const struct name_entry *e;
    if (!w->at)
        return 0;
    if (w->at % 16 || w->at == w->mark || !in_data(w->seg, w->at, sizeof *e))
        return -EUCLEAN;
    e = at_offset(w->seg, w->at);
    if (!in_data(w->seg, w->at, sizeof *e + NAME_TYPE_MOST + NAME_MOST + 2)) {
        /* near the end of the data: exactly */
        uint64_t n = (uint64_t)__atomic_load_n(&e->type_length, __ATOMIC_RELAXED) +
                     __atomic_load_n(&e->name_length, __ATOMIC_RELAXED) + 2;
        if (!in_data(w->seg, w->at, sizeof *e + n))
            return -EUCLEAN;
    }
    if (++w->steps == w->turn) {
        w->mark = w->at;
        w->turn *= 2;
    }
    *ret_entry = e;
    return 1;
}

int name_copy_entry(const struct tarn *seg, uint64_t entry, struct name_copy *c, uint64_t *ret_next)
{
    const struct name_entry *e;
    struct walk w = walk_from(seg, entry);
    uint32_t types, names;
    const char *text;
    if (walk_step(&w, &e) != 1)
        return -EUCLEAN;
    types = __atomic_load_n(&e->type_length, __ATOMIC_RELAXED);
    names = __atomic_load_n(&e->name_length, __ATOMIC_RELAXED);
    if (!types || types > NAME_TYPE_MOST || !names || names > NAME_MOST ||
        !in_data(seg, entry, sizeof *e + types + names + 2))
        return -EUCLEAN;
    text = (const char *)(e + 1);
    c->entry = entry;
    c->ref = e->ref;
    c->size = e->size;
    c->version = e->version;
    memcpy(c->type, text, types);
    memcpy(c->name, text + types + 1, names);
    c->type[types] = c->name[names] = 0;
    if (ret_next)
        *ret_next = load64(&e->next);
    return strlen(c->type) == types && strlen(c->name) == names ? 0 : -EUCLEAN;
}

/* 1: found, in *c, and *ret_link is the word that leads to it. 0: not there. -EUCLEAN. */
static int chain_find(const struct tarn *seg, uint64_t hash, const char *name, struct name_copy *c,
                      uint64_t **ret_link)
{
    uint64_t *link = &name_zone_of(seg)->head[hash % NAME_CHAINS];
    const struct name_entry *e;
    struct walk w = walk_from(seg, load64(link));
    int found;
    while ((found = walk_step(&w, &e)) == 1) {
        if (e->hash == hash) {
            if (name_copy_entry(seg, w.at, c, NULL))
                return -EUCLEAN;
            if (!strcmp(c->name, name)) {
                *ret_link = link;
                return 1;
            }
        }
        link = &((struct name_entry *)at_offset(seg, w.at))->next;
        w.at = load64(link);
    }
    return found;
}

/* ---- reading without the lock ---- */

/* Nobody changes names now: *ret_changes is to be the same afterwards. */
static bool quiet_before(struct name_zone *z, uint64_t *ret_changes)
{
    *ret_changes = load64(&z->changes);
    return !(load32(&z->lock.owner) & ~ID_DIRTY);
}
static bool quiet_after(struct name_zone *z, uint64_t changes)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the store of changes before a change */
    return load64(&z->changes) == changes;
}

int name_read_quiet(struct tarn *seg, int (*read)(struct tarn *seg, void *arg), void *arg)
{
    struct name_zone *z = name_zone_of(seg);
    struct self *s;
    uint64_t changes;
    int e = 0, most = seg->readonly ? TRIES_READONLY : TRIES_WRITABLE;
    for (int i = 0; i < most; i++) {
        if (quiet_before(z, &changes)) {
            e = read(seg, arg);
            if (quiet_after(z, changes))
                return e;
        } else if (!seg->readonly)
            break;
        if (seg->readonly && i > 4) {
            struct timespec t = {.tv_nsec = i < 16 ? 50 * 1000 : 1000 * 1000};
            nanosleep(&t, NULL);
        } else
            sched_yield();
    }
    if (seg->readonly)
        return fail(-EAGAIN, "the names were being changed each of the %d times this read-only attachment looked: try again",
                    most);
    s = self_of(seg, &e);
    if (!s)
        return e;
    e = mutex_lock_inner(s, &z->lock);
    if (e < 0)
        return e;
    e = read(seg, arg);
    mutex_unlock_inner(s, &z->lock);
    return e;
}

struct find {
    const char *name;
    uint64_t hash;
    struct name_copy copy;
};
static int read_one(struct tarn *seg, void *arg)
{
    struct find *f = arg;
    uint64_t *link;
    return chain_find(seg, f->hash, f->name, &f->copy, &link);
}

/* ---- checks of what a caller gives ---- */

static int damaged(const char *name)
{
    return fail(-EUCLEAN, "the chain of names that \"%s\" belongs to is damaged: run tarn check", name);
}

static int name_valid(const char *name)
{
    size_t n = name ? strnlen(name, NAME_MOST + 1) : 0;
    return n && n <= NAME_MOST ? 0
                               : fail(-EINVAL, "a name is 1 to %u bytes, not %zu%s", NAME_MOST, n,
                                      n > NAME_MOST ? " or more" : "");
}

static int type_valid(const struct tarn_type *t)
{
    size_t n = t && t->name ? strnlen(t->name, NAME_TYPE_MOST + 1) : 0;
    if (!n || n > NAME_TYPE_MOST)
        return fail(-EINVAL, "a type's name is 1 to %u bytes: use TARN_TYPE(type)", NAME_TYPE_MOST);
    return t->size ? 0 : fail(-EINVAL, "type %s has size 0", t->name);
}

static int type_same(const struct name_copy *c, const struct tarn_type *t)
{
    if (!t || (!strcmp(c->type, t->name) && c->size == t->size && c->version == t->version))
        return 0;
    return fail(-EPROTO,
                "\"%s\" is bound to {%s, %llu bytes, version %u}, not to {%s, %llu bytes, version %u}: "
                "another program, or "
                "another version of this one, made it",
                c->name, c->type, (unsigned long long)c->size, c->version, t->name,
                (unsigned long long)t->size, t->version);
}

static int free_of_section(const struct self *s, const char *call)
{
    if (!s->depth)
        return 0;
    return fail(-EPERM, "%s: names change in sections of their own: commit or abort the open one first", call);
}

/* ---- changing ---- */

/* Open a section and take the lock in it, to be given up when that ends. */
static int change_begin(struct self *s)
{
    struct name_zone *z = name_zone_of(s->seg);
    int e = section_begin(s);
    if (e < 0)
        return e;
    e = mutex_lock_in(s, &z->lock);
    if (e < 0) {
        section_abort(s);
        return e;
    }
    /* It never comes dirty: only sections hold it, and they are undone. */
    store64(&z->changes, z->changes + 1);
    return 0;
}
/* End it: commit if e is 0 or positive, else abort. Returns e, or the commit's failure. */
static int change_end(struct self *s, int e)
{
    mutex_release(s, &name_zone_of(s->seg)->lock); /* put off to the section's end */
    if (e < 0) {
        section_abort(s);
        return e;
    }
    int c = section_commit(s);
    return c < 0 ? c : e;
}

/* A new entry at the head of its chain, in the open section. */
static int entry_link(struct self *s, const char *name, uint64_t hash, const struct tarn_type *type, uint64_t ref)
{
    struct name_zone *z = name_zone_of(s->seg);
    uint64_t block, *head = &z->head[hash % NAME_CHAINS];
    size_t types = strlen(type->name), names = strlen(name);
    struct name_entry *n;
    char *text;
    int e = heap_alloc(s, sizeof *n + types + names + 2, false, &block);
    if (e < 0)
        return e;
    n = at_offset(s->seg, block);
    text = (char *)(n + 1);
    *n = (struct name_entry){.next = *head,
                             .hash = hash,
                             .ref = ref,
                             .size = type->size,
                             .version = type->version,
                             .type_length = (uint16_t)types,
                             .name_length = (uint16_t)names};
    memcpy(text, type->name, types + 1);
    memcpy(text + types + 1, name, names + 1);
    e = log_save(s, offset_of(s->seg, head), 1);
    if (e < 0)
        return fail(e, "no memory for the log of the section that binds \"%s\"", name);
    store64(head, block);
    return 0;
}

/* What find-or-make does under the lock. *ret_ref is set when it returns 0. */
static int make_locked(struct self *s, struct find *f, const struct tarn_type *type,
                       int (*fill)(struct self *, uint64_t, void *), void *arg, uint64_t *ret_ref)
{
    uint64_t *link, block;
    int e = chain_find(s->seg, f->hash, f->name, &f->copy, &link);
    if (e < 0)
        return damaged(f->name);
    if (e) {
        e = type_same(&f->copy, type);
        if (!e)
            *ret_ref = f->copy.ref;
        return e;
    }
    e = heap_alloc(s, type->size, true, &block);
    if (e < 0)
        return e;
    if (fill) {
        e = fill(s, block, arg);
        if (e < 0)
            return e;
    }
    e = entry_link(s, f->name, f->hash, type, block);
    if (e < 0)
        return e;
    *ret_ref = block;
    return 0;
}

int name_make(struct self *s, const char *name, const struct tarn_type *type,
              int (*fill)(struct self *s, uint64_t block, void *arg), void *arg, uint64_t *ret_ref)
{
    struct find f = {.name = name};
    uint64_t ref = 0;
    int e = free_of_section(s, "making a named object");
    if (e < 0 || (e = name_valid(name)) < 0 || (e = type_valid(type)) < 0)
        return e;
    f.hash = XXH3_64bits(name, strlen(name));
    e = change_begin(s);
    if (e < 0)
        return e;
    e = change_end(s, make_locked(s, &f, type, fill, arg, &ref));
    if (e < 0)
        return e;
    *ret_ref = ref;
    return 0;
}

/* What unbind does under the lock. */
static int unbind_locked(struct self *s, struct find *f, int (*retire)(struct self *, const struct name_copy *))
{
    uint64_t *link;
    int e = chain_find(s->seg, f->hash, f->name, &f->copy, &link);
    if (e < 0)
        return damaged(f->name);
    if (!e)
        return fail(-ENOENT, "no object is named \"%s\"", f->name);
    e = log_save(s, offset_of(s->seg, link), 1);
    if (e < 0)
        return fail(e, "no memory for the log of the section that unbinds \"%s\"", f->name);
    store64(link, ((const struct name_entry *)at_offset(s->seg, f->copy.entry))->next);
    e = heap_free(s, f->copy.entry, LOG_RETIRE);
    if (e < 0)
        return e;
    return retire ? retire(s, &f->copy) : 0;
}

int name_unbind(struct self *s, const char *name, int (*retire)(struct self *s, const struct name_copy *n))
{
    struct find f = {.name = name};
    int e = free_of_section(s, "tarn_unbind");
    if (e < 0 || (e = name_valid(name)) < 0)
        return e;
    f.hash = XXH3_64bits(name, strlen(name));
    e = change_begin(s);
    if (e < 0)
        return e;
    return change_end(s, unbind_locked(s, &f, retire));
}

/* ---- public ---- */

int tarn_bind(tarn *seg, const char *name, const struct tarn_type *type, tarn_ref ref)
{
    struct name_copy c;
    uint64_t hash, size = 0, *link;
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (!s || (e = free_of_section(s, "tarn_bind")) < 0 || (e = name_valid(name)) < 0 || (e = type_valid(type)) < 0)
        return e;
    if (heap_state(seg, ref, &size) != BLOCK_ALLOCATED || size < type->size)
        return fail(-EINVAL, "tarn_bind: \"%s\" is to name %llu bytes at ref %#llx, where no allocated block of that size begins",
                    name, (unsigned long long)type->size, (unsigned long long)ref);
    hash = XXH3_64bits(name, strlen(name));
    e = change_begin(s);
    if (e < 0)
        return e;
    e = chain_find(seg, hash, name, &c, &link);
    if (e < 0)
        e = damaged(name);
    else if (e)
        e = fail(-EEXIST, "the name \"%s\" is bound already, to a %s", name, c.type);
    else
        e = entry_link(s, name, hash, type, ref);
    return change_end(s, e);
}

int tarn_find(tarn *seg, const char *name, const struct tarn_type *type, tarn_ref *ret_ref)
{
    struct find f = {.name = name};
    int e = seg->raw ? raw_refused(seg, "tarn_find") : name_valid(name);
    if (e < 0 || (type && (e = type_valid(type)) < 0))
        return e;
    f.hash = XXH3_64bits(name, strlen(name));
    e = name_read_quiet(seg, read_one, &f);
    if (e < 0)
        return e == -EUCLEAN ? damaged(name) : e;
    if (!e)
        return fail(-ENOENT, "no object is named \"%s\"", name);
    e = type_same(&f.copy, type);
    if (e < 0)
        return e;
    if (!in_data(seg, f.copy.ref, f.copy.size))
        return fail(-EUCLEAN, "\"%s\" is bound to ref %#llx, which is outside the segment: run tarn check",
                    name, (unsigned long long)f.copy.ref);
    *ret_ref = f.copy.ref;
    return 0;
}

int tarn_find_or_make(tarn *seg, const char *name, const struct tarn_type *type, void **ret_address)
{
    uint64_t ref = 0;
    struct self *s;
    int e = type_valid(type);
    if (e < 0)
        return e;
    e = tarn_find(seg, name, type, &ref);
    if (e == -ENOENT && !seg->readonly) {
        s = self_of(seg, &e);
        if (!s || (e = name_make(s, name, type, NULL, NULL, &ref)) < 0)
            return e;
    }
    if (e < 0)
        return e;
    if (!in_data(seg, ref, type->size))
        return fail(-EUCLEAN, "\"%s\" is bound to ref %#llx, which is outside the segment: run tarn check",
                    name, (unsigned long long)ref);
    *ret_address = at_offset(seg, ref);
    return 0;
}

static uint64_t zone_size(const struct geometry *g)
{
    (void)g;
    return sizeof(struct name_zone) > 4096 ? sizeof(struct name_zone) : 4096;
}

const struct floor name_floor = {.name = "names", .zone_size = zone_size, .zone = ZONE_NAME};
