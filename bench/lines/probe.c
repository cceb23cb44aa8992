/* bench/lines/probe.c - known accesses, compiled like the library: by them lines_counted finds out whether the count is one.
 *
 * SPDX-License-Identifier: MIT */
#include "lines.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct whole {
    uint64_t word[8];
};

void lines_probe(unsigned char *at)
{
    uint64_t word = 1, *words = (uint64_t *)(void *)at;
    struct whole *whole = (struct whole *)(void *)at;
    at[0] = 1;                                                      /* line 0 */
    words[8] = words[1];                                            /* 1, and 0 again */
    __atomic_store_n(&words[16], word, __ATOMIC_RELEASE);           /* 2 */
    word += __atomic_load_n(&words[24], __ATOMIC_ACQUIRE);          /* 3 */
    word += __atomic_fetch_add(&words[32], word, __ATOMIC_RELAXED); /* 4 */
    __atomic_compare_exchange_n(&words[40], &word, 7, 0, 0, 0);     /* 5 */
    whole[6] = whole[0];                                            /* 6 */
    memset(&at[7 * LINE], 1, LINE + 1);                             /* 7, 8 */
    memcpy(&at[8 * LINE], &at[9 * LINE], 40);                       /* 9 */
#if defined(__SSE2__)
    _mm_storeu_si128((__m128i *)(void *)&at[11 * LINE],
                     _mm_loadu_si128((const __m128i *)(void *)&at[10 * LINE + 8])); /* 10, 11 */
#else
    words[88] = words[81];
#endif
}
