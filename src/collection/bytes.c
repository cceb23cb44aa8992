/* collection/bytes.c - a byte string that is replaced as a whole.
 *
 * `block` is the ref of a block {size, bytes} that is whole before it is reached, and then never changed; it is replaced by one store, and the old
 * block is retired. So a reader, who takes no lock, has the old string or the new one: pinned, or by a copy that the epoch validates.
 * Who writes has the lock. In an open section the change is part of that, and undone with it: the block is allocated, the word saved, the old one
 * listed to be retired. Commit point: the section's. Outside, it is one of the heap's one-step operations (docs/crash-core.md) under the
 * same lock, taken as an inner one, for only single stores change what it guards. Commit point: the store of `block`. docs/bytes.md */
#include <errno.h>
#include <string.h>

#include "collection/check.h"
#include "heap/heap.h"
#include "participant/again.h"
#include "sync/sync.h"

static int check_bytes(tarn *seg, const tarn_bytes *b, uint64_t size, const char *call)
{
    if (seg->raw)
        return raw_refused(seg, call);
    if (!is_there(seg, b, sizeof *b))
        return fail(-EINVAL, "%s: %p is no byte string of this segment: it must lie in its memory, aligned to 8",
                    call, (const void *)b);
    if (size > BYTES_MOST)
        return fail(-EINVAL, "%s: a byte string has %u bytes at most, not %llu", call, BYTES_MOST,
                    (unsigned long long)size);
    return 0;
}

static int damaged(const struct tarn *seg, const tarn_bytes *b)
{
    return fail(-EUCLEAN, "the byte string at %#llx is damaged: no block of it is where it leads: run tarn check",
                (unsigned long long)offset_of(seg, b));
}

/* What is there now: size and bytes, checked. 0, or -EUCLEAN. */
static int look(const struct tarn *seg, const tarn_bytes *b, uint64_t *ret_size, const char **ret_bytes)
{
    uint64_t ref = load64(&b->block);
    const struct bytes_block *block;
    *ret_size = 0;
    *ret_bytes = NULL;
    if (!ref)
        return 0;
    if (ref % 8 || !in_data(seg, ref, sizeof *block))
        return damaged(seg, b);
    block = at_offset(seg, ref);
    *ret_size = load64(&block->size);
    *ret_bytes = (const char *)(block + 1);
    return in_data(seg, ref + sizeof *block, *ret_size) ? 0 : damaged(seg, b);
}

/* ---- changes ---- */

struct piece {
    const void *at;
    uint64_t size;
};

static void fill(const struct tarn *seg, uint64_t at, const struct piece *head, const struct piece *tail)
{
    struct bytes_block *block = at_offset(seg, at);
    char *to = (char *)(block + 1);
    if (head->size)
        memmove(to, head->at, head->size); /* a hostile size may reach into the block itself */
    if (tail->size)
        memmove(to + head->size, tail->at, tail->size);
    block->size = head->size + tail->size;
}

static int in_section(struct self *s, tarn_bytes *b, const struct piece *head, const struct piece *tail)
{
    uint64_t old = load64(&b->block), size = head->size + tail->size, block = 0;
    /* Before the word is saved: undo restores that first, then retires the block. */
    int e = size ? heap_alloc(s, sizeof(struct bytes_block) + size, false, &block) : 0;
    if (e < 0)
        return e;
    if (size)
        fill(s->seg, block, head, tail);
    /* From here on the new block is allocated, and after a failure nothing would lead to it. */
    if ((e = section_save(s, &b->block, 1)) < 0)
        return section_doom(s, e);
    if (old && (e = heap_free(s, old, LOG_RETIRE)) < 0)
        return section_doom(s, e == -EINVAL ? damaged(s->seg, b) : log_is_full());
    store64(&b->block, block);
    return 0;
}

static int in_one_step(struct self *s, tarn_bytes *b, const struct piece *head, const struct piece *tail)
{
    uint64_t old = load64(&b->block), size = head->size + tail->size;
    struct fresh f;
    if (!size)
        return old ? heap_free_from(s, &b->block, LOG_RETIRE) : 0;
    int e = heap_pick(s, sizeof(struct bytes_block) + size, &f);
    if (e < 0)
        return e;
    fill(s->seg, f.block, head, tail);
    if (old)
        heap_replace(s, &f, &b->block, f.block, old);
    else
        heap_publish(s, &f, &b->block, f.block);
    return 0;
}

static int change_locked(struct self *s, tarn_bytes *b, bool append, const struct piece *tail, const char *call)
{
    struct piece head = {0};
    const char *bytes = NULL;
    int e = append ? look(s->seg, b, &head.size, &bytes) : 0;
    head.at = bytes;
    if (e == 0)
        e = check_bytes(s->seg, b, head.size + tail->size, call);
    if (e < 0)
        return e;
    return s->depth ? in_section(s, b, &head, tail) : in_one_step(s, b, &head, tail);
}

static int change(tarn *seg, tarn_bytes *b, bool append, const void *from, size_t size, const char *call)
{
    const struct piece tail = {from, size};
    int e = check_bytes(seg, b, size, call);
    struct self *s = e < 0 ? NULL : self_of(seg, &e);
    if (!s)
        return e;
    if (mutex_held(s, &b->lock))
        return change_locked(s, b, append, &tail, call);
    if (!s->depth) {
        if ((e = mutex_lock_inner(s, &b->lock)) < 0)
            return e;
        e = change_locked(s, b, append, &tail, call);
        mutex_unlock_inner(s, &b->lock);
        return e;
    }
    e = mutex_lock_to_the_end(s, &b->lock);
    return e < 0 ? e : change_locked(s, b, append, &tail, call);
}

int tarn_bytes_set(tarn *seg, tarn_bytes *bytes, const void *from, size_t size)
{
    return change(seg, bytes, false, from, size, "tarn_bytes_set");
}

int tarn_bytes_append(tarn *seg, tarn_bytes *bytes, const void *from, size_t size)
{
    return change(seg, bytes, true, from, size, "tarn_bytes_append");
}

/* ---- readers ---- */

/* Pinned, or to be validated by the epoch. */
static int copy(const struct tarn *seg, const tarn_bytes *b, void *to, uint64_t room, uint64_t *ret_size)
{
    const char *bytes;
    int e = look(seg, b, ret_size, &bytes);
    if (e == 0 && *ret_size && room)
        memcpy(to, bytes, *ret_size < room ? *ret_size : room);
    return e;
}

int tarn_bytes_get(tarn *seg, const tarn_bytes *bytes, void *to, size_t room, size_t *ret_size)
{
    uint64_t size = 0;
    int e = check_bytes(seg, bytes, 0, "tarn_bytes_get");
    if (e < 0)
        return e;
    if (seg->readonly) {
        struct again a = {0};
        do {
            if (!again_look(seg, &a))
                return again_given_up();
            e = copy(seg, bytes, to, room, &size);
        } while (!again_is_good(seg, &a));
    } else {
        struct self *s = self_of(seg, &e);
        if (!s)
            return e;
        epoch_pin(s);
        e = copy(seg, bytes, to, room, &size);
        epoch_unpin(s);
    }
    if (e == 0 && ret_size)
        *ret_size = size;
    return e;
}

/* ---- check, unbind ---- */

void bytes_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k)
{
    const tarn_bytes *b = at_offset(seg, ref);
    uint64_t block, size, again;
    const char *bytes;
    if (!is_there(seg, b, sizeof *b))
        return;
    k->owner(&b->lock, k->arg);
    block = load64(&b->block);
    if (!block)
        return;
    int e = look(seg, b, &size, &bytes);
    again = load64(&b->block);
    if (again != block)
        return; /* replaced meanwhile */
    if (e < 0)
        k->damage(ref, "a byte string: it leads to no block, or to one of a size that cannot be", k->arg);
    else
        k->block(block, sizeof(struct bytes_block) + size, k->arg);
}

int bytes_retire(struct self *s, uint64_t ref)
{
    tarn_bytes *b = at_offset(s->seg, ref);
    if (!is_there(s->seg, b, sizeof *b))
        return damaged(s->seg, b);
    if (!mutex_held(s, &b->lock)) {
        int e = mutex_lock_to_the_end(s, &b->lock);
        if (e < 0)
            return e;
    }
    const struct piece nothing = {0};
    int e = in_section(s, b, &nothing, &nothing);
    return e < 0 ? e : heap_free(s, ref, LOG_RETIRE);
}
