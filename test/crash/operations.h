/* operations.h - for the files of operations: short names of what each of them has at hand. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "lab.h"

#define R (l->root)
#define REF(i) (&l->root->ref[i])
#define SEG (l->seg)

/* In a section. */
static inline void set(struct lab *l, int word, uint64_t value)
{
    MUST(tarn_save(SEG, &R->word[word], 8));
    R->word[word] = value;
}

#endif
