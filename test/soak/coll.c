/* coll.c - what a worker does with a vector, a byte string, a queue and a stack that all share, and what they must be at a standstill. See soak.h.
 *
 * Elements and blocks have a number, some of them thrice or twice, so that half of one is seen. Who puts one in adds its number to his share, in the same
 * section; who takes it out, or writes over it, takes it from his own: the shares of all slots, which may be below 0, are the sum of what is there. */
#include <stdio.h>
#include <string.h>

#include "worker.h"

static tarn_vector *vector;
static tarn_bytes *note;
static tarn_queue *queue;
static tarn_stack *stack;

enum { OF_VECTOR, OF_CHAINS };
enum { MOST = 1500 }; /* elements: about */

struct element {
    uint64_t number[3];
};
struct link {
    tarn_node node;
    uint64_t number[2];
};

void open_collections(void)
{
    WANT(tarn_object(segment, "a vector", tarn_vector, &vector));
    WANT(tarn_object(segment, "a note", tarn_bytes, &note));
    WANT(tarn_object(segment, "a queue", tarn_queue, &queue));
    WANT(tarn_object(segment, "a stack", tarn_stack, &stack));
}

static int share(unsigned of, uint64_t more)
{
    uint64_t *mine = &root->share[of][me.slot];
    TRY(tarn_save(segment, mine, 8));
    expect(SHARED + of, now_is(SHARED + of) + more);
    put(mine, *mine + more);
    return 0;
}

static uint64_t number_of(const struct element *e)
{
    if (e->number[0] != e->number[1] || e->number[1] != e->number[2])
        violation("half of an element of the vector: %llx %llx %llx", (unsigned long long)e->number[0],
                  (unsigned long long)e->number[1], (unsigned long long)e->number[2]);
    return e->number[0];
}
static struct element an_element(void)
{
    uint64_t n = mix(chance(1u << 30));
    return (struct element){{n, n, n}};
}

int step_vector(void)
{
    struct element e = an_element(), was;
    uint64_t size, index, more = 0;
    lowest = PLAIN;
    /* the first has it locked, to the section's end */
    TRY(tarn_vector_push(segment, vector, &e, sizeof e, &index));
    more += e.number[0];
    moment();
    size = tarn_vector_size(segment, vector);
    if (index + 1 != size)
        violation("the vector: pushed at %llu, and it has %llu", (unsigned long long)index,
                  (unsigned long long)size);
    switch (size > MOST ? 1 : chance(5)) {
    case 0: /* write over one */
        index = chance((uint32_t)size);
        TRY(tarn_vector_get(segment, vector, index, &was, sizeof was));
        e = an_element();
        TRY(tarn_vector_set(segment, vector, index, &e, sizeof e));
        more += e.number[0] - number_of(&was);
        break;
    case 1: /* some go, one by one */
        for (uint32_t n = size > MOST ? 600 : 1 + chance(4); n && tarn_vector_size(segment, vector); n--) {
            TRY(tarn_vector_pop(segment, vector, &was, sizeof was));
            more -= number_of(&was);
        }
        break;
    case 2: /* zeros, which are written over later */
        TRY(tarn_vector_resize(segment, vector, size + 1 + chance(20), sizeof e));
        break;
    default: break;
    }
    return share(OF_VECTOR, more);
}

static struct link *link_at(tarn_ref ref)
{
    struct link *l = tarn_ptr(segment, ref, sizeof *l);
    if (!l || tarn_block_size(segment, ref) < sizeof *l || l->number[0] != l->number[1])
        violation("what was in a queue or stack is no block of ours: %#llx", (unsigned long long)ref);
    return l;
}

int step_chain(void)
{
    bool queued = chance(2);
    tarn_ref ref;
    uint64_t count = tarn_queue_count(segment, queue) + tarn_stack_count(segment, stack);
    lowest = PLAIN;
    if (count < 200 && chance(2)) {
        TRY(tarn_alloc(segment, sizeof(struct link), &ref));
        struct link *l = tarn_ptr(segment, ref, sizeof *l);
        l->number[0] = l->number[1] = mix(chance(1u << 30));
        TRY(queued ? tarn_queue_push(segment, queue, ref) : tarn_stack_push(segment, stack, ref));
        return share(OF_CHAINS, l->number[0]);
    }
    int e = queued ? tarn_queue_pop(segment, queue, &ref) : tarn_stack_pop(segment, stack, &ref);
    if (e == -ENOENT)
        return 0;
    TRY(e);
    struct link *l = link_at(ref);
    moment();
    if (chance(2)) {
        TRY(share(OF_CHAINS, -l->number[0]));
        TRY(tarn_free(segment, ref));
        return 0;
    }
    TRY(chance(2) ? tarn_queue_push(segment, queue, ref) : tarn_stack_push(segment, stack, ref));
    return 0;
}

/* Words that are all the same; how many goes with them. */
enum { NOTE_WORDS = 100 };
static void look_at_note(tarn *s, const tarn_bytes *b)
{
    uint64_t word[NOTE_WORDS];
    size_t size = 0;
    int e = tarn_bytes_get(s, b, word, sizeof word, &size);
    if (e == -EAGAIN && s != segment)
        return;
    if (e)
        violation("tarn_bytes_get: %d %s", e, tarn_error());
    for (size_t i = 0; i < size / 8; i++)
        if (word[i] != word[0] || size != 8 * (1 + word[0] % NOTE_WORDS))
            violation("half of a note: of %zu bytes, word %zu is %llx, and the first %llx", size, i,
                      (unsigned long long)word[i], (unsigned long long)word[0]);
}
static size_t write_note(uint64_t *word)
{
    uint64_t n = mix(chance(1u << 30));
    size_t count = 1 + n % NOTE_WORDS;
    for (size_t i = 0; i < count; i++)
        word[i] = n;
    return 8 * count;
}

int step_note(void)
{
    uint64_t word[NOTE_WORDS];
    lowest = PLAIN;
    size_t size = write_note(word);
    if (chance(4) == 0) { /* in pieces, which nobody takes for the whole */
        TRY(tarn_bytes_set(segment, note, NULL, 0));
        moment();
    }
    TRY(tarn_bytes_set(segment, note, word, size));
    return 0;
}

void op_note(void)
{
    uint64_t word[NOTE_WORDS];
    size_t size = write_note(word);
    int e = tarn_bytes_set(segment, note, word, size);
    if (e && !is_full(e))
        violation("tarn_bytes_set: %d %s", e, tarn_error());
    look_at_note(segment, note);
}

static void look_at_vector(tarn *s, tarn_vector *v)
{
    for (int n = 0; n < 20; n++) {
        struct element e;
        uint64_t size = tarn_vector_size(s, v);
        int got = tarn_vector_get(s, v, size ? chance((uint32_t)size + 2) : 0, &e, sizeof e);
        if (got == 0)
            number_of(&e);
        else if (got != -ENOENT && !(got == -EAGAIN && s != segment))
            violation("tarn_vector_get: %d %s", got, tarn_error());
    }
}

void op_elements(void)
{
    look_at_vector(segment, vector);
}

void look_at_collections(tarn *reader)
{
    tarn_vector *v;
    tarn_bytes *b;
    if (tarn_object(reader, "a vector", tarn_vector, &v) == 0)
        look_at_vector(reader, v);
    if (tarn_object(reader, "a note", tarn_bytes, &b) == 0)
        look_at_note(reader, b);
}

/* ---- at a standstill ---- */

void compare_collections(void)
{
    uint64_t shares[SHARES] = {0}, sums[SHARES] = {0};
    open_collections();
    if (vector->lock.owner || note->lock.owner || queue->lock.owner || stack->lock.owner)
        violation("a collection's lock is held, or dirty, and nobody is at work");
    for (unsigned i = 0; i < SHARES; i++)
        for (unsigned s = 0; s < SLOTS; s++)
            shares[i] += root->share[i][s];
    for (uint64_t i = 0; i < tarn_vector_size(segment, vector); i++) {
        struct element e;
        WANT(tarn_vector_get(segment, vector, i, &e, sizeof e));
        sums[OF_VECTOR] += number_of(&e);
    }
    for (int k = 0; k < 2; k++)
        for (tarn_ref ref = k ? queue->first : stack->first; ref; ref = link_at(ref)->node.next)
            sums[OF_CHAINS] += link_at(ref)->number[0];
    for (unsigned i = 0; i < SHARES; i++)
        if (shares[i] != sums[i])
            violation("the %s: %llx, and the shares are %llx", i == OF_VECTOR ? "vector" : "queue and the stack",
                      (unsigned long long)sums[i], (unsigned long long)shares[i]);
    look_at_note(segment, note);
}

/* By the controller, as the last. */
void take_down_collections(void)
{
    tarn_ref ref;
    static const char *const name[] = {"a vector", "a note", "a queue", "a stack"};
    open_collections();
    uint64_t sum[SHARES] = {0};
    for (unsigned s = 0; s < SLOTS; s++)
        for (unsigned i = 0; i < SHARES; i++)
            sum[i] += root->share[i][s];
    WANT(tarn_begin(segment));
    for (unsigned i = 0; i < SHARES; i++)
        WANT(share(i, -sum[i]));
    while (tarn_queue_pop(segment, queue, &ref) == 0 || tarn_stack_pop(segment, stack, &ref) == 0)
        WANT(tarn_free(segment, ref));
    WANT(tarn_commit(segment));
    settle();
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        WANT(tarn_unbind(segment, name[i], 1)); /* with what is in the vector */
}
