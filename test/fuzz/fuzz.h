/* fuzz.h - what the fuzzer's files share: chance, what must go well in set-up, and who may be waited for. */
#ifndef TARN_TEST_FUZZ_H
#define TARN_TEST_FUZZ_H

#include <stdbool.h>
#include <stdint.h>

#include "participant/participant.h"

uint64_t rnd(uint64_t n); /* below n */
void must(int e, const char *what);

/* Nobody lives but this thread: who seems to have a lock alive, has it by a hostile writer's words, and may have it for ever. */
bool held_for_ever(tarn *seg, uint32_t owner);

/* ---- channels.c ---- */

enum { FUZZ_CHANNELS = 5, CHANNEL_PARTS = 4 };

/* One of each kind, in the midst of its life; with a party that has left without a word, and, with `dead`, one that was killed. */
void furnish_channels(tarn *seg, bool dead);
/* Words [first, last) of its root, its seats, its slots, and what stands first there: entries, the order. */
void channel_words(tarn *seg, unsigned which, uint64_t first[CHANNEL_PARTS], uint64_t last[CHANNEL_PARTS]);
void read_channels(tarn *seg);
void use_channels(tarn *seg); /* the thread takes part */

#endif
