/* collection/queue.c - a queue and a stack of blocks: each begins with a node, which is the chain's while it is in it.
 *
 * Zeroed bytes are an empty one, and a node that is in none:
 *     first(x) -> next -> ... -> 0 has count(x) nodes;  in(n) == x for these, and for no others;  of a queue, the last of them is last(x)
 * All that a change stores was saved, in a section of its own or in the caller's, under the lock, which is held until that ends. Commit point: the
 * section's. So a death anywhere leaves what was pushed or popped in an open section as it was before, and what was committed as it is: no block is
 * lost in here, and none is handed out twice. `turns` alone is not saved: it tells tarn_check, who takes no lock, that somebody was here. docs/queue.md */
#include <errno.h>

#include "collection/check.h"
#include "heap/heap.h"
#include "sync/sync.h"

/* A queue, or a stack, which has no last. */
struct chain {
    uint64_t at; /* its offset */
    tarn_mutex *lock;
    uint64_t *first, *last, *count, *turns;
    uint64_t words; /* from first on: those that change */
    const char *what;
};

static struct chain queue_chain(const struct tarn *seg, tarn_queue *q)
{
    return (struct chain){offset_of(seg, q), &q->lock, &q->first, &q->last, &q->count, &q->turns, 3, "queue"};
}
static struct chain stack_chain(const struct tarn *seg, tarn_stack *k)
{
    return (struct chain){offset_of(seg, k), &k->lock, &k->first, NULL, &k->count, &k->turns, 2, "stack"};
}

static tarn_node *node_at(const struct tarn *seg, uint64_t ref)
{
    return ref && ref % 8 == 0 && in_data(seg, ref, sizeof(tarn_node)) ? at_offset(seg, ref) : NULL;
}

static int damaged(const struct chain *c)
{
    return fail(-EUCLEAN, "the %s at %#llx is damaged: what should be in it is not: run tarn check", c->what,
                (unsigned long long)c->at);
}

/* ---- changes ---- */

static int take(struct self *s, const struct chain *c)
{
    int e = mutex_held(s, c->lock) ? 0 : mutex_lock_to_the_end(s, c->lock);
    if (e >= 0)
        store64(c->turns, load64(c->turns) + 1); /* before anything changes */
    return e;
}

/* place: where the ref stands, which becomes 0; NULL: nowhere. */
static int push(struct self *s, const struct chain *c, uint64_t ref, uint64_t *place)
{
    const struct tarn *seg = s->seg;
    tarn_node *n = node_at(seg, ref), *last = NULL;
    int e;
    if (!n)
        return fail(-EINVAL, "a block for the %s: no node is at ref %#llx: it must lie in the segment's memory, aligned to 8",
                    c->what, (unsigned long long)ref);
    if (load64(&n->in))
        return fail(-EEXIST, "the block at %#llx is in the queue or stack at %#llx already: pop it first",
                    (unsigned long long)ref, (unsigned long long)load64(&n->in));
    if (c->last && load64(c->last) && (!(last = node_at(seg, load64(c->last))) || load64(&last->in) != c->at))
        return damaged(c);
    if ((e = section_save(s, n, 2)) < 0 || (e = section_save(s, c->first, c->words)) < 0 ||
        (last && (e = section_save(s, &last->next, 1)) < 0) || (place && (e = section_save(s, place, 1)) < 0))
        return e;
    store64(&n->next, c->last ? 0 : load64(c->first));
    store64(&n->in, c->at);
    if (last)
        store64(&last->next, ref);
    else
        store64(c->first, ref);
    if (c->last)
        store64(c->last, ref);
    store64(c->count, load64(c->count) + 1);
    if (place)
        store64(place, 0);
    return 0;
}

/* place: where its ref is to stand; NULL: nowhere. */
static int pop(struct self *s, const struct chain *c, uint64_t *place, uint64_t *ret_ref)
{
    uint64_t ref = load64(c->first), next;
    tarn_node *n = node_at(s->seg, ref);
    int e;
    if (!ref)
        return fail_constant(-ENOENT, "the queue or stack is empty");
    if (!n || load64(&n->in) != c->at)
        return damaged(c);
    if ((e = section_save(s, n, 2)) < 0 || (e = section_save(s, c->first, c->words)) < 0 ||
        (place && (e = section_save(s, place, 1)) < 0))
        return e;
    next = load64(&n->next);
    store64(c->first, next);
    if (c->last && !next)
        store64(c->last, 0);
    store64(c->count, load64(c->count) - 1);
    store64(&n->next, 0);
    store64(&n->in, 0);
    if (place)
        store64(place, ref);
    if (ret_ref)
        *ret_ref = ref;
    return 0;
}

/* `place` is in the segment, and is 0, or is not. */
static int check_place(const struct tarn *seg, const uint64_t *place, bool empty, const char *call)
{
    if (!is_there(seg, place, sizeof *place))
        return fail(-EINVAL, "%s: the ref's place at %p does not lie in the segment's memory, aligned to 8",
                    call, (const void *)place);
    if (empty && load64(place))
        return fail(-EEXIST, "%s: the place at %#llx holds ref %#llx, which would be lost", call,
                    (unsigned long long)offset_of(seg, place), (unsigned long long)load64(place));
    return 0;
}

enum what { PUSH, PUSH_FROM, POP, POP_INTO };

/* at: the place, or where a popped one's ref goes. */
static int change(tarn *seg, const struct chain *c, enum what what, uint64_t ref, uint64_t *at, const char *call)
{
    int e = what == PUSH_FROM || what == POP_INTO ? check_place(seg, at, what == POP_INTO, call) : 0;
    struct self *s = e < 0 ? NULL : self_of(seg, &e);
    if (!s)
        return e;
    section_begin(s);
    e = take(s, c);
    if (e >= 0)
        switch (what) {
        case PUSH: e = push(s, c, ref, NULL); break;
        case PUSH_FROM: e = push(s, c, load64(at), at); break;
        case POP: e = pop(s, c, NULL, at); break;
        default: e = pop(s, c, at, NULL); break;
        }
    return section_end(s, e);
}

/* Before anything is made of the pointer. */
static int check_object(tarn *seg, const void *object, size_t size, const char *call)
{
    if (seg->raw)
        return raw_refused(seg, call);
    if (!is_there(seg, object, size))
        return fail(-EINVAL, "%s: nothing of this segment is at %p: it must lie in its memory, aligned to 8",
                    call, object);
    return 0;
}

static int change_queue(tarn *seg, tarn_queue *q, enum what what, uint64_t ref, uint64_t *at, const char *call)
{
    int e = check_object(seg, q, sizeof *q, call);
    if (e < 0)
        return e;
    const struct chain c = queue_chain(seg, q);
    return change(seg, &c, what, ref, at, call);
}

static int change_stack(tarn *seg, tarn_stack *k, enum what what, uint64_t ref, uint64_t *at, const char *call)
{
    int e = check_object(seg, k, sizeof *k, call);
    if (e < 0)
        return e;
    const struct chain c = stack_chain(seg, k);
    return change(seg, &c, what, ref, at, call);
}

int tarn_queue_push(tarn *seg, tarn_queue *queue, tarn_ref block)
{
    return change_queue(seg, queue, PUSH, block, NULL, "tarn_queue_push");
}
int tarn_queue_push_from(tarn *seg, tarn_queue *queue, tarn_ref *place)
{
    return change_queue(seg, queue, PUSH_FROM, 0, place, "tarn_queue_push_from");
}
int tarn_queue_pop(tarn *seg, tarn_queue *queue, tarn_ref *ret_block)
{
    return change_queue(seg, queue, POP, 0, ret_block, "tarn_queue_pop");
}
int tarn_queue_pop_into(tarn *seg, tarn_queue *queue, tarn_ref *place)
{
    return change_queue(seg, queue, POP_INTO, 0, place, "tarn_queue_pop_into");
}
uint64_t tarn_queue_count(tarn *seg, const tarn_queue *queue)
{
    return is_there(seg, queue, sizeof *queue) ? load64(&queue->count) : 0;
}

int tarn_stack_push(tarn *seg, tarn_stack *stack, tarn_ref block)
{
    return change_stack(seg, stack, PUSH, block, NULL, "tarn_stack_push");
}
int tarn_stack_push_from(tarn *seg, tarn_stack *stack, tarn_ref *place)
{
    return change_stack(seg, stack, PUSH_FROM, 0, place, "tarn_stack_push_from");
}
int tarn_stack_pop(tarn *seg, tarn_stack *stack, tarn_ref *ret_block)
{
    return change_stack(seg, stack, POP, 0, ret_block, "tarn_stack_pop");
}
int tarn_stack_pop_into(tarn *seg, tarn_stack *stack, tarn_ref *place)
{
    return change_stack(seg, stack, POP_INTO, 0, place, "tarn_stack_pop_into");
}
uint64_t tarn_stack_count(tarn *seg, const tarn_stack *stack)
{
    return is_there(seg, stack, sizeof *stack) ? load64(&stack->count) : 0;
}

/* ---- check ---- */

/* Once through, while nobody has the lock. NULL, or what is not right. */
static const char *look(struct tarn *seg, const struct chain *c, const struct collection_checker *k)
{
    uint64_t ref = load64(c->first), last = 0, n = 0, most = committed_of(seg) / sizeof(tarn_node);
    for (; ref; n++) {
        const tarn_node *node = node_at(seg, ref);
        if (!node)
            return "a queue or stack: it leads where no block can be";
        if (load64(&node->in) != c->at)
            return "a queue or stack: a block in it says that it is in another, or in none";
        if (n > most)
            return "a queue or stack: its blocks go in a circle";
        k->member(ref, k->arg);
        last = ref;
        ref = load64(&node->next);
    }
    if (c->last && load64(c->last) != last)
        return "a queue: its last block is not the last";
    return load64(c->count) == n ? NULL : "a queue or stack: its count is not what is in it";
}

static void chain_check(struct tarn *seg, const struct chain *c, const struct collection_checker *k)
{
    k->owner(c->lock, k->arg);
    uint64_t turns = load64(c->turns);
    bool held = mutex_in_hand(seg, c->lock); /* after turns: who takes it now counts */
    const char *what = look(seg, c, k);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (what && !held && load64(c->turns) == turns)
        k->damage(c->at, what, k->arg);
}

void queue_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k)
{
    tarn_queue *q = at_offset(seg, ref);
    if (!is_there(seg, q, sizeof *q))
        return;
    const struct chain c = queue_chain(seg, q);
    chain_check(seg, &c, k);
}

void stack_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k)
{
    tarn_stack *q = at_offset(seg, ref);
    if (!is_there(seg, q, sizeof *q))
        return;
    const struct chain c = stack_chain(seg, q);
    chain_check(seg, &c, k);
}
