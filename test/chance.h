/* chance.h - for tests: numbers by chance, the same ones again from the same seed, in each process from its own. Not for two threads at once. */
#ifndef TARN_TEST_CHANCE_H
#define TARN_TEST_CHANCE_H

#include <stdint.h>

static uint32_t chance_state = 2463534242u; /* never 0 */

static inline uint32_t chance_bits(void)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 17;
    chance_state ^= chance_state << 5;
    return chance_state;
}
/* Seeds that are next to each other are spread. */
static inline void chance_from(uint32_t seed)
{
    chance_state = seed * 2654435761u | 1;
    for (int i = 0; i < 4; i++)
        (void)chance_bits();
}
/* One of 0 to n - 1 */
static inline uint32_t chance(uint32_t n)
{
    return chance_bits() % n;
}
static inline uint64_t chance_word(void)
{
    uint64_t high = chance_bits();
    return high << 32 | chance_bits();
}

#endif
