/* operations_coll.c - for CRASHLAB: the vector, byte strings, the queue and the stack. Each is a named object of its own, made by the set-up, so that
 * tarn_check reaches its blocks; what the oracle sees of them is in oracle_coll.c. */
#include <string.h>

#include "operations.h"
#include "segment/segment.h"

static tarn_vector *vector;
static tarn_bytes *bytes;
static tarn_queue *queue;
static tarn_stack *stack;

static void make(struct lab *l)
{
    MUST(tarn_object(SEG, "vector", tarn_vector, &vector));
    MUST(tarn_object(SEG, "bytes", tarn_bytes, &bytes));
    MUST(tarn_object(SEG, "queue", tarn_queue, &queue));
    MUST(tarn_object(SEG, "stack", tarn_stack, &stack));
    R->collection[0] = offset_of(SEG, vector);
    R->collection[1] = offset_of(SEG, bytes);
    R->collection[2] = offset_of(SEG, queue);
    R->collection[3] = offset_of(SEG, stack);
}

/* ---- vector ---- */

struct wide {
    uint64_t word[3];
};
static struct wide wide(uint64_t x)
{
    return (struct wide){{x, x + 1, x + 2}};
}
static void push(struct lab *l, uint64_t x)
{
    const struct wide w = wide(x);
    MUST(tarn_vector_push(SEG, vector, &w, sizeof w, NULL));
}
static void pop(struct lab *l)
{
    struct wide w;
    MUST(tarn_vector_pop(SEG, vector, &w, sizeof w));
}
static void set_element(struct lab *l, uint64_t i, uint64_t x)
{
    const struct wide w = wide(x);
    MUST(tarn_vector_set(SEG, vector, i, &w, sizeof w));
}
static void numbers(struct lab *l)
{
    make(l);
    for (uint64_t i = 0; i < 7; i++)
        MUST(tarn_vector_push(SEG, vector, &i, 8, NULL));
}
/* Into a second chunk, and back. */
static void vector_push(struct lab *l)
{
    uint64_t x = 100, index;
    for (int i = 0; i < 3; i++) {
        MUST(tarn_vector_push(SEG, vector, &x, 8, &index));
        mark(l);
        x++;
    }
    MUST(tarn_vector_set(SEG, vector, 3, &x, 8));
    mark(l);
    for (int i = 0; i < 3; i++) {
        MUST(tarn_vector_pop(SEG, vector, &x, 8));
        mark(l);
    }
    MUST(tarn_vector_push(SEG, vector, &x, 8, &index)); /* over what was popped */
}
static void vector_first(struct lab *l)
{
    MUST(tarn_vector_init(SEG, vector, sizeof(struct wide)));
    mark(l);
    push(l, 5);
    mark(l);
    pop(l);
    mark(l);
    push(l, 6);
}
static void wide_ones(struct lab *l)
{
    make(l);
    for (uint64_t i = 0; i < 9; i++)
        push(l, i * 10);
}
static void vector_over(struct lab *l)
{
    set_element(l, 2, 1000);
    mark(l);
    pop(l);
    mark(l);
    push(l, 2000);
    mark(l);
    MUST(tarn_vector_resize(SEG, vector, 3, sizeof(struct wide)));
    mark(l);
    MUST(tarn_vector_resize(SEG, vector, 6, sizeof(struct wide)));
    mark(l);
    MUST(tarn_vector_resize(SEG, vector, 30, sizeof(struct wide)));
    mark(l);
    MUST(tarn_vector_resize(SEG, vector, 0, sizeof(struct wide)));
}
static void vector_section(struct lab *l)
{
    struct wide w;
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    pop(l);
    pop(l);
    push(l, 3000);
    set_element(l, 1, 4000);
    MUST(tarn_vector_get(SEG, vector, 1, &w, sizeof w)); /* under the lock, for half of it might be there */
    if (w.word[0] != 4000)
        lab_fail("not what this section wrote");
    MUST(tarn_vector_resize(SEG, vector, 2, sizeof(struct wide)));
    MUST(tarn_vector_resize(SEG, vector, 20, sizeof(struct wide)));
    push(l, 5000);
}
static void vector_commit(struct lab *l)
{
    vector_section(l);
    MUST(tarn_commit(SEG));
}
static void vector_abort(struct lab *l)
{
    vector_section(l);
    MUST(tarn_abort(SEG));
}
static void vector_that_goes(struct lab *l)
{
    wide_ones(l);
    R->collection[0] = 0;
}
static void vector_unbind(struct lab *l)
{
    MUST(tarn_unbind(SEG, "vector", 1));
}

/* ---- byte strings ---- */

static void set_bytes(struct lab *l, const char *text)
{
    MUST(tarn_bytes_set(SEG, bytes, text, strlen(text)));
}
static void bytes_change(struct lab *l)
{
    set_bytes(l, "one");
    mark(l);
    MUST(tarn_bytes_append(SEG, bytes, ", two", 5));
    mark(l);
    set_bytes(l, "another, which is of another size class, for it is longer");
    mark(l);
    set_bytes(l, "");
    mark(l);
    MUST(tarn_bytes_append(SEG, bytes, "three", 5));
}
static void some_bytes(struct lab *l)
{
    make(l);
    set_bytes(l, "some bytes");
}
static void bytes_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    MUST(tarn_bytes_append(SEG, bytes, " more", 5));
    set_bytes(l, "");
    set_bytes(l, "others");
    MUST(tarn_bytes_append(SEG, bytes, " more", 5));
}
static void bytes_commit(struct lab *l)
{
    bytes_section(l);
    MUST(tarn_commit(SEG));
}
static void bytes_abort(struct lab *l)
{
    bytes_section(l);
    MUST(tarn_abort(SEG));
}
static void bytes_that_go(struct lab *l)
{
    some_bytes(l);
    R->collection[1] = 0;
}
static void bytes_unbind(struct lab *l)
{
    MUST(tarn_unbind(SEG, "bytes", 1));
}

/* ---- queue, stack: blocks of root, whose first words are nodes ---- */

static void blocks(struct lab *l)
{
    make(l);
    for (int i = 0; i < 5; i++) {
        MUST(tarn_alloc_into(SEG, REF(i), 48));
        ((uint64_t *)tarn_ptr(SEG, R->ref[i], 48))[2] = 100 + (uint64_t)i;
    }
}
static void from_and_into(struct lab *l)
{
    MUST(tarn_queue_push_from(SEG, queue, REF(0)));
    mark(l);
    MUST(tarn_queue_push_from(SEG, queue, REF(1)));
    mark(l);
    MUST(tarn_stack_push_from(SEG, stack, REF(2)));
    mark(l);
    MUST(tarn_stack_push_from(SEG, stack, REF(3)));
    mark(l);
    MUST(tarn_queue_pop_into(SEG, queue, REF(6)));
    mark(l);
    MUST(tarn_stack_pop_into(SEG, stack, REF(7)));
    mark(l);
    MUST(tarn_queue_pop_into(SEG, queue, REF(8))); /* the last */
    mark(l);
    MUST(tarn_queue_push_from(SEG, queue, REF(8)));
}
static void some_in_them(struct lab *l)
{
    blocks(l);
    MUST(tarn_queue_push_from(SEG, queue, REF(0)));
    MUST(tarn_queue_push_from(SEG, queue, REF(1)));
    MUST(tarn_stack_push_from(SEG, stack, REF(2)));
}
/* One is taken from each and given to the other, one is freed, one is new. */
static void chain_section(struct lab *l)
{
    tarn_ref a, b;
    MUST(tarn_begin(SEG));
    MUST(tarn_queue_pop(SEG, queue, &a));
    MUST(tarn_stack_pop(SEG, stack, &b));
    MUST(tarn_queue_push(SEG, queue, b));
    MUST(tarn_stack_push(SEG, stack, a));
    MUST(tarn_queue_pop(SEG, queue, &a));
    MUST(tarn_free(SEG, a));
    MUST(tarn_alloc(SEG, 48, &a));
    MUST(tarn_stack_push(SEG, stack, a));
    set(l, 0, 1);
}
static void chain_commit(struct lab *l)
{
    chain_section(l);
    MUST(tarn_commit(SEG));
}
static void chain_abort(struct lab *l)
{
    chain_section(l);
    MUST(tarn_abort(SEG));
}

const struct operation coll_operations[] = {
    {"vector push, pop", OP_FEW, numbers, NULL, vector_push},
    {"vector, the first", OP_FEW, make, NULL, vector_first},
    {"vector written over, resized", OP_FEW, wide_ones, NULL, vector_over},
    {"vector section commit", OP_FEW, wide_ones, NULL, vector_commit},
    {"vector section abort", OP_FEW, wide_ones, NULL, vector_abort},
    {"vector unbind", OP_FEW, vector_that_goes, NULL, vector_unbind},
    {"bytes", OP_FEW, make, NULL, bytes_change},
    {"bytes section commit", OP_FEW, some_bytes, NULL, bytes_commit},
    {"bytes section abort", OP_FEW, some_bytes, NULL, bytes_abort},
    {"bytes unbind", OP_FEW, bytes_that_go, NULL, bytes_unbind},
    {"queue and stack, from and into", OP_FEW, blocks, NULL, from_and_into},
    {"queue and stack, section commit", OP_FEW, some_in_them, NULL, chain_commit},
    {"queue and stack, section abort", OP_FEW, some_in_them, NULL, chain_abort},
    {0},
};
