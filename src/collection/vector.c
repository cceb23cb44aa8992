/* collection/vector.c - elements of one size by index, in chunks that stay where they are; it grows while it is read.
 *
 * Chunk k, a block of the heap, has room for the elements [8 (2^k - 1), 8 (2^(k+1) - 1)). Zeroed bytes are an empty vector.
 *     every k with 8 (2^k - 1) < size:  chunk[k] is an allocated block of 2^(k+3) elements at least
 *     i < size  =>  i < high;   element i >= high of any chunk is zeros
 * Changes are sections, of their own or part of the caller's, under the vector's lock, which is held until that ends. Order:
 *     push   chunk[k], if it is not there (allocated, saved, stored); element's bytes saved if below high; size saved; high; bytes; size
 *     pop    size and chunk[k + 1] saved; size; chunk[k + 1] = 0
 * so that for a reader, who takes no lock, a size is there after what it counts: also while it is undone, newest store first. Commit
 * point: the section's.
 *
 * Who writes over an element that somebody may be copying (set; push, and resize, below high) says so first, unless it is one word:
 *     changing = his identity; turns + 1; bytes
 * Half of an element can be seen only while owner(lock) == changing, or by who finds turns another afterwards. docs/vector.md. */
#include <errno.h>
#include <string.h>

#include "collection/check.h"
#include "heap/heap.h"
#include "participant/again.h"
#include "sync/sync.h"

#define INDEX_END (((uint64_t)VECTOR_FIRST << TARN_VECTOR_CHUNKS) - VECTOR_FIRST)

static unsigned chunk_of(uint64_t i)
{
    return 60u - (unsigned)__builtin_clzll(i + VECTOR_FIRST);
}
static uint64_t first_of(unsigned k)
{
    return ((uint64_t)VECTOR_FIRST << k) - VECTOR_FIRST;
}
static uint64_t chunk_bytes(unsigned k, uint64_t element)
{
    return ((uint64_t)VECTOR_FIRST << k) * element;
}

/* Where element i, below INDEX_END, is in this process; NULL: its chunk's ref leads nowhere that can be. */
static char *element_at(const struct tarn *seg, const tarn_vector *v, uint64_t i, uint64_t element)
{
    unsigned k = chunk_of(i);
    uint64_t ref = load64(&v->chunk[k]), at = ref + (i - first_of(k)) * element;
    return ref && ref % 16 == 0 && LOG_OFFSET(ref) == ref && in_data(seg, at, element) ? at_offset(seg, at) : NULL;
}

/* Elements that are read and written by one access */
static bool is_word(uint64_t element)
{
    return element == 8 || element == 4 || element == 2 || element == 1;
}

static void load_word(void *to, const void *from, uint64_t element)
{
    uint64_t v; /* the caller's memory may be aligned to nothing */
    uint32_t v4;
    uint16_t v2;
    switch (element) {
    case 8: v = __atomic_load_n((const uint64_t *)from, __ATOMIC_ACQUIRE), memcpy(to, &v, 8); break;
    case 4: v4 = __atomic_load_n((const uint32_t *)from, __ATOMIC_ACQUIRE), memcpy(to, &v4, 4); break;
    case 2: v2 = __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE), memcpy(to, &v2, 2); break;
    default: *(uint8_t *)to = __atomic_load_n((const uint8_t *)from, __ATOMIC_ACQUIRE); break;
    }
}

static void store_word(void *to, const void *from, uint64_t element)
{
    uint64_t v;
    uint32_t v4;
    uint16_t v2;
    switch (element) {
    case 8: memcpy(&v, from, 8), __atomic_store_n((uint64_t *)to, v, __ATOMIC_RELEASE); break;
    case 4: memcpy(&v4, from, 4), __atomic_store_n((uint32_t *)to, v4, __ATOMIC_RELEASE); break;
    case 2: memcpy(&v2, from, 2), __atomic_store_n((uint16_t *)to, v2, __ATOMIC_RELEASE); break;
    default: __atomic_store_n((uint8_t *)to, *(const uint8_t *)from, __ATOMIC_RELEASE); break;
    }
    compiler_barrier();
    kill_point();
}

/* Of other sizes, by as many accesses: what is copied may be written over meanwhile, which is found out afterwards. */
static void load_element(void *to, const char *from, uint64_t element)
{
    uint64_t i = 0, v;
    for (; element % 8 == 0 && i < element; i += 8) {
        v = __atomic_load_n((const uint64_t *)(const void *)(from + i), __ATOMIC_RELAXED);
        memcpy((char *)to + i, &v, 8);
    }
    for (; i < element; i++)
        ((char *)to)[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
}

/* from NULL: zeros. Before whatever is stored by store64 and kin afterwards. */
static void store_element(char *to, const char *from, uint64_t element)
{
    uint64_t i = 0, v = 0;
    for (; element % 8 == 0 && i < element; i += 8) {
        if (from)
            memcpy(&v, from + i, 8);
        __atomic_store_n((uint64_t *)(void *)(to + i), v, __ATOMIC_RELAXED);
    }
    for (; i < element; i++)
        __atomic_store_n(to + i, from ? from[i] : 0, __ATOMIC_RELAXED);
}

/* ---- refusals ---- */

static int check_vector(tarn *seg, const tarn_vector *v, uint64_t element, const char *call)
{
    if (seg->raw)
        return raw_refused(seg, call);
    if (!is_there(seg, v, sizeof *v))
        return fail(-EINVAL, "%s: %p is no vector of this segment: it must lie in its memory, aligned to 8",
                    call, (const void *)v);
    if (element - 1 >= TARN_VECTOR_ELEMENT_MOST)
        return fail(-EINVAL, "%s: an element has 1 to %u bytes, not %llu: keep refs of larger things", call,
                    TARN_VECTOR_ELEMENT_MOST, (unsigned long long)element);
    return 0;
}

static int other_size(const struct tarn *seg, const tarn_vector *v, uint64_t has, uint64_t element)
{
    return fail(-EPROTO, "the vector at %#llx has elements of %llu bytes, and not of %llu",
                (unsigned long long)offset_of(seg, v), (unsigned long long)has, (unsigned long long)element);
}

static int no_element(const struct tarn *seg, const tarn_vector *v, uint64_t i, uint64_t size)
{
    return fail(-ENOENT, "the vector at %#llx has %llu elements, and none of index %llu",
                (unsigned long long)offset_of(seg, v), (unsigned long long)size, (unsigned long long)i);
}

static int damaged(const struct tarn *seg, const tarn_vector *v)
{
    return fail(-EUCLEAN, "the vector at %#llx is damaged: a chunk is not there: run tarn check",
                (unsigned long long)offset_of(seg, v));
}

/* ---- changes ---- */

/* The vector's lock, in the open section, for as long as that lasts. Nothing has been written over in it yet. */
static int take(struct self *s, tarn_vector *v)
{
    if (mutex_held(s, &v->lock))
        return 0;
    int e = mutex_lock_to_the_end(s, &v->lock);
    if (e >= 0)
        store32(&v->changing, 0);
    return e;
}

static int save(struct self *s, const void *from, uint64_t bytes)
{
    uint64_t at = offset_of(s->seg, from), first = at & ~7ull;
    return log_save(s, first, (at + bytes - first + 7) / 8) ? log_is_full() : 0;
}

/* Bytes are written over next: pairs with the loads in copy_once. */
static void begin_changing(struct self *s, tarn_vector *v)
{
    store32(&v->changing, s->id);
    store64(&v->turns, load64(&v->turns) + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Elements have this size from now on, or they have it already. */
static int settle_element(struct self *s, tarn_vector *v, uint64_t element)
{
    uint32_t has = load32(&v->element);
    int e;
    if (has == element)
        return 0;
    if (has)
        return other_size(s->seg, v, has, element);
    if ((e = save(s, &v->element, sizeof v->element)) < 0)
        return e;
    store64(&v->turns, load64(&v->turns) + 1); /* who looks with another size in mind, because it was undone, looks again */
    store32(&v->element, (uint32_t)element);
    return 0;
}

/* Chunk k, if it is not there. *ret_made: it was not. */
static int make_chunk(struct self *s, tarn_vector *v, unsigned k, uint64_t element, bool *ret_made)
{
    uint64_t block, bytes = chunk_bytes(k, element);
    int e;
    *ret_made = false;
    if (load64(&v->chunk[k]))
        return 0;
    if (bytes > heap_most(s->seg))
        return fail(-ENOSPC, "the vector at %#llx: its next chunk would have %llu bytes, and a block of this segment has %llu at most",
                    (unsigned long long)offset_of(s->seg, v), (unsigned long long)bytes,
                    (unsigned long long)heap_most(s->seg));
    if ((e = heap_alloc(s, bytes, true, &block)) < 0)
        return e;
    if ((e = section_store(s, &v->chunk[k], block)) <
        0) /* saved after that: undo takes it off the vector first, then retires it */
        return section_doom(s, e);
    *ret_made = true;
    return 0;
}

static void write_element(tarn_vector *v, char *to, const void *from, uint64_t element, struct self *s, bool over)
{
    if (is_word(element)) {
        store_word(to, from, element);
        return;
    }
    if (over)
        begin_changing(s, v);
    store_element(to, from, element);
}

static int push(struct self *s, tarn_vector *v, const void *from, uint64_t element, uint64_t *ret_index)
{
    uint64_t n = load64(&v->size), high = load64(&v->high);
    bool made, over = n < high;
    char *to;
    int e = settle_element(s, v, element);
    if (e < 0)
        return e;
    if (n >= INDEX_END)
        return fail(-ENOSPC, "the vector at %#llx has %llu elements, and cannot have more",
                    (unsigned long long)offset_of(s->seg, v), (unsigned long long)n);
    if ((e = make_chunk(s, v, chunk_of(n), element, &made)) < 0)
        return e;
    if (!(to = element_at(s->seg, v, n, element)))
        return damaged(s->seg, v);
    if ((over && !made && (e = save(s, to, element)) < 0) || (e = save(s, &v->size, 8)) < 0)
        return e;
    if (!over)
        store64(&v->high, n + 1); /* before the bytes: what was never seen is zeros */
    write_element(v, to, from, element, s, over);
    store64(&v->size, n + 1); /* from here on readers find it */
    if (ret_index)
        *ret_index = n;
    return 0;
}

static int of_retired(const struct tarn *seg, const tarn_vector *v, int e)
{
    return e == -EINVAL ? damaged(seg, v) : e == -ENOSPC ? log_is_full() : e;
}

/* Chunks [from, to) are to be retired: all of it that can fail. */
static int list_chunks(struct self *s, const tarn_vector *v, unsigned from, unsigned to)
{
    int e;
    for (unsigned k = from; k < to; k++)
        if (load64(&v->chunk[k]) &&
            ((e = save(s, &v->chunk[k], 8)) < 0 || (e = heap_free(s, load64(&v->chunk[k]), LOG_RETIRE)) < 0))
            return of_retired(s->seg, v, e);
    return 0;
}
static void drop_chunks(tarn_vector *v, unsigned from, unsigned to)
{
    for (unsigned k = from; k < to; k++)
        if (load64(&v->chunk[k]))
            store64(&v->chunk[k], 0);
}

static int pop(struct self *s, tarn_vector *v, void *ret, uint64_t element)
{
    uint64_t n = load64(&v->size), i = n - 1;
    uint32_t has = load32(&v->element);
    unsigned from = 0, to = 0;
    const char *at;
    int e;
    if (has && has != element)
        return other_size(s->seg, v, has, element);
    if (!n)
        return fail_constant(-ENOENT, "the vector is empty");
    if (i >= INDEX_END || !has || !(at = element_at(s->seg, v, i, element)))
        return damaged(s->seg, v);
    if (i == first_of(chunk_of(i))) /* its chunk is kept, in case one is pushed next; one above that is not */
        from = chunk_of(i) + 1, to = TARN_VECTOR_CHUNKS;
    if ((e = save(s, &v->size, 8)) < 0 || (e = list_chunks(s, v, from, to)) < 0)
        return e;
    store64(&v->size, i);
    drop_chunks(v, from, to);
    if (ret)
        memcpy(ret, at, element); /* nobody else writes there while the lock is held */
    return 0;
}

static int set(struct self *s, tarn_vector *v, uint64_t i, const void *from, uint64_t element)
{
    uint64_t n = load64(&v->size);
    uint32_t has = load32(&v->element);
    char *to;
    int e;
    if (has && has != element)
        return other_size(s->seg, v, has, element);
    if (i >= n)
        return no_element(s->seg, v, i, n);
    if (i >= INDEX_END || !has || !(to = element_at(s->seg, v, i, element)))
        return damaged(s->seg, v);
    if ((e = save(s, to, element)) < 0)
        return e;
    write_element(v, to, from, element, s, true);
    return 0;
}

/* Elements [from, to) of chunk k: the place of the first. */
struct part {
    char *at;
    uint64_t count;
};
static int part_of(struct self *s, const tarn_vector *v, unsigned k, uint64_t from, uint64_t to,
                   uint64_t element, struct part *ret)
{
    uint64_t first = first_of(k), end = first_of(k + 1);
    from = from > first ? from : first;
    to = to < end ? to : end;
    *ret = (struct part){0};
    if (from >= to)
        return 0;
    ret->count = to - from;
    ret->at = element_at(s->seg, v, from, element);
    if (!ret->at || !in_data(s->seg, offset_of(s->seg, ret->at), ret->count * element))
        return damaged(s->seg, v);
    return 0;
}

/* What was popped from [n, size) is zeros again; what was never there is so. The chunks of `made` are. */
static int clear(struct self *s, tarn_vector *v, uint64_t n, uint64_t size, uint64_t element, uint64_t made)
{
    static const uint64_t zero;
    struct part p;
    int e = 0;
    for (unsigned k = chunk_of(n); e == 0 && k <= chunk_of(size - 1); k++)
        if (!(made >> k & 1) && (e = part_of(s, v, k, n, size, element, &p)) == 0 && p.count)
            e = save(s, p.at, p.count * element);
    if (e < 0 || (e = save(s, &v->size, 8)) < 0)
        return e;
    for (unsigned k = chunk_of(n); k <= chunk_of(size - 1); k++) {
        if (made >> k & 1 || part_of(s, v, k, n, size, element, &p) < 0 || !p.count)
            continue;
        if (!is_word(element)) {
            begin_changing(s, v);
            store_element(p.at, NULL, p.count * element);
        }
        for (uint64_t i = 0; is_word(element) && i < p.count; i++)
            store_word(p.at + i * element, &zero, element);
    }
    return 0;
}

static int grow(struct self *s, tarn_vector *v, uint64_t n, uint64_t size, uint64_t element)
{
    uint64_t high = load64(&v->high), made = 0;
    int e = settle_element(s, v, element);
    for (unsigned k = 0; e == 0 && k <= chunk_of(size - 1); k++) {
        bool fresh;
        e = make_chunk(s, v, k, element, &fresh);
        made |= (uint64_t)fresh << k;
    }
    if (e < 0)
        return e; /* a chunk too many is no harm */
    e = n < high ? clear(s, v, n, size < high ? size : high, element, made) : save(s, &v->size, 8);
    if (e < 0)
        return e;
    if (size > high)
        store64(&v->high, size);
    store64(&v->size, size);
    return 0;
}

static int resize(struct self *s, tarn_vector *v, uint64_t size, uint64_t element)
{
    uint64_t n = load64(&v->size);
    uint32_t has = load32(&v->element);
    unsigned from = size ? chunk_of(size - 1) + 1 : 0;
    int e;
    if (has && has != element)
        return other_size(s->seg, v, has, element);
    if (n > INDEX_END || (n && !has))
        return damaged(s->seg, v);
    if (size > n)
        return grow(s, v, n, size, element);
    if ((e = save(s, &v->size, 8)) < 0 || (e = list_chunks(s, v, from, TARN_VECTOR_CHUNKS)) < 0)
        return e;
    if (size < n)
        store64(&v->size, size);
    drop_chunks(v, from, TARN_VECTOR_CHUNKS);
    return 0;
}

/* The section in which a change is made, with the lock taken; NULL: *ret_error. To be ended by section_end. */
static struct self *begin(tarn *seg, tarn_vector *v, uint64_t element, const char *call, int *ret_error)
{
    struct self *s;
    *ret_error = check_vector(seg, v, element, call);
    if (*ret_error < 0 || !(s = self_of(seg, ret_error)))
        return NULL;
    section_begin(s);
    *ret_error = take(s, v);
    if (*ret_error >= 0)
        return s;
    section_end(s, *ret_error);
    return NULL;
}

int tarn_vector_init(tarn *seg, tarn_vector *vector, size_t element_size)
{
    int e;
    struct self *s = begin(seg, vector, element_size, "tarn_vector_init", &e);
    return s ? section_end(s, settle_element(s, vector, element_size)) : e;
}

int tarn_vector_push(tarn *seg, tarn_vector *vector, const void *element, size_t element_size, uint64_t *ret_index)
{
    int e;
    struct self *s = begin(seg, vector, element_size, "tarn_vector_push", &e);
    return s ? section_end(s, push(s, vector, element, element_size, ret_index)) : e;
}

int tarn_vector_pop(tarn *seg, tarn_vector *vector, void *ret_element, size_t element_size)
{
    int e;
    struct self *s = begin(seg, vector, element_size, "tarn_vector_pop", &e);
    return s ? section_end(s, pop(s, vector, ret_element, element_size)) : e;
}

int tarn_vector_set(tarn *seg, tarn_vector *vector, uint64_t index, const void *element, size_t element_size)
{
    int e;
    struct self *s = begin(seg, vector, element_size, "tarn_vector_set", &e);
    return s ? section_end(s, set(s, vector, index, element, element_size)) : e;
}

int tarn_vector_resize(tarn *seg, tarn_vector *vector, uint64_t size, size_t element_size)
{
    int e;
    if (size > INDEX_END)
        return fail(-EINVAL, "tarn_vector_resize: a vector has at most %llu elements, not %llu",
                    (unsigned long long)INDEX_END, (unsigned long long)size);
    struct self *s = begin(seg, vector, element_size, "tarn_vector_resize", &e);
    return s ? section_end(s, resize(s, vector, size, element_size)) : e;
}

/* ---- readers ---- */

/* One look, pinned or to be validated by the epoch. Look again: MOVED, somebody wrote meanwhile; MISSING, a chunk was not there, because elements
 * were taken out just now, or undone. HELD: half of the element may be there for as long as somebody has the lock. */
enum { MOVED = 1, MISSING, HELD };

static int copy_once(const struct tarn *seg, const tarn_vector *v, uint64_t i, void *to, uint64_t element)
{
    uint64_t turns = load64(&v->turns), n;
    uint32_t changing = is_word(element) ? 0 : load32(&v->changing), has;
    const char *at;
    if (changing && (load32(&v->lock.owner) & ~ID_DIRTY) == changing)
        return HELD;
    n = load64(&v->size);
    has = load32(&v->element);
    if (i >= n)
        return has && has != element ? other_size(seg, v, has, element) : no_element(seg, v, i, n);
    if (has && has != element)
        return other_size(seg, v, has, element);
    if (i >= INDEX_END)
        return damaged(seg, v);
    if (!has || !(at = element_at(seg, v, i, element)))
        return MISSING;
    if (is_word(element))
        load_word(to, at, element);
    else
        load_element(to, at, element);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what was copied was read before turns is */
    return load64(&v->turns) != turns ? MOVED : 0;
}

/* The lock keeps out whoever writes over elements; but what the caller's own section has written, it may see. */
static int copy_locked(struct self *s, tarn_vector *v, uint64_t i, void *to, uint64_t element)
{
    section_begin(s);
    int e = take(s, v);
    if (e >= 0) {
        uint64_t n = load64(&v->size), has = load32(&v->element);
        const char *at = i < INDEX_END && has == element ? element_at(s->seg, v, i, element) : NULL;
        if (has && has != element)
            e = other_size(s->seg, v, has, element);
        else if (i >= n)
            e = no_element(s->seg, v, i, n);
        else if (!at)
            e = damaged(s->seg, v);
        else
            memcpy(to, at, element);
    }
    return section_end(s, e);
}

static int copy_unpinned(tarn *seg, const tarn_vector *v, uint64_t i, void *to, uint64_t element)
{
    int e = MOVED;
    for (struct again a = {0}; again_look(seg, &a);) {
        e = copy_once(seg, v, i, to, element);
        if (e <= 0 && again_is_good(seg, &a))
            return e;
    }
    if (e == HELD)
        return fail(-EAGAIN, "the vector at %#llx: somebody (participant %#x) who has its lock, or died with it, wrote over elements: try again",
                    (unsigned long long)offset_of(seg, v), load32(&v->changing));
    return e == MISSING ? damaged(seg, v) : again_given_up();
}

#define TRIES 100

int tarn_vector_get(tarn *seg, tarn_vector *vector, uint64_t index, void *ret_element, size_t element_size)
{
    int e = check_vector(seg, vector, element_size, "tarn_vector_get");
    if (e < 0)
        return e;
    if (seg->readonly)
        return copy_unpinned(seg, vector, index, ret_element, element_size);
    struct self *s = self_of(seg, &e);
    if (!s)
        return e;
    e = MOVED;
    for (int i = 0; i < TRIES && (e == MOVED || e == MISSING); i++) {
        epoch_pin(s);
        e = copy_once(seg, vector, index, ret_element, element_size);
        epoch_unpin(s);
    }
    return e > 0 ? copy_locked(s, vector, index, ret_element, element_size) : e;
}

void *tarn_vector_at(tarn *seg, tarn_vector *vector, uint64_t index, size_t element_size)
{
    if (element_size - 1 >= TARN_VECTOR_ELEMENT_MOST || !is_there(seg, vector, sizeof *vector) ||
        index >= load64(&vector->size) || index >= INDEX_END || load32(&vector->element) != element_size)
        return NULL;
    return element_at(seg, vector, index, element_size);
}

uint64_t tarn_vector_size(tarn *seg, const tarn_vector *vector)
{
    return is_there(seg, vector, sizeof *vector) ? load64(&vector->size) : 0;
}

/* ---- check, unbind ---- */

void vector_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k)
{
    const tarn_vector *v = at_offset(seg, ref);
    if (!is_there(seg, v, sizeof *v))
        return;
    uint64_t n = load64(&v->size);
    uint32_t element = load32(&v->element);
    k->owner(&v->lock, k->arg);
    if (element > TARN_VECTOR_ELEMENT_MOST || n > INDEX_END || (n && !element)) {
        k->damage(ref, "a vector: its size, or that of its elements, cannot be", k->arg);
        return;
    }
    for (unsigned i = 0; i < TARN_VECTOR_CHUNKS; i++) {
        uint64_t chunk = load64(&v->chunk[i]);
        if (chunk && element)
            k->block(chunk, chunk_bytes(i, element), k->arg);
        else if (chunk && load32(&v->element) == element)
            k->damage(ref, "a vector: it has a chunk, and elements of no size", k->arg);
        else if (first_of(i) < n && load64(&v->size) == n)
            k->damage(ref, "a vector: a chunk is missing", k->arg);
    }
}

int vector_retire(struct self *s, uint64_t ref)
{
    tarn_vector *v = at_offset(s->seg, ref);
    if (!is_there(s->seg, v, sizeof *v))
        return damaged(s->seg, v);
    int e = take(s, v);
    if (e < 0 || (e = save(s, &v->size, 8)) < 0 || (e = list_chunks(s, v, 0, TARN_VECTOR_CHUNKS)) < 0)
        return e;
    store64(&v->size, 0);
    drop_chunks(v, 0, TARN_VECTOR_CHUNKS);
    return heap_free(s, ref, LOG_RETIRE);
}
