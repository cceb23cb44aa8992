/* os/robust.c - robust mutexes of glibc in shared memory: their image. See os.h. */
#include <string.h>

#include "os/os.h"

void os_robust_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t a;
    memset(mutex, 0, sizeof *mutex);
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &a);
    pthread_mutexattr_destroy(&a);
}

void os_robust_kind(pthread_mutex_t *mutex)
{
    pthread_mutex_t image;
    uint32_t word[sizeof image / 4], *to = (uint32_t *)(void *)mutex;
    os_robust_init(&image);
    memcpy(word, &image, sizeof word);
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (word[i] && __atomic_load_n(&to[i], __ATOMIC_RELAXED) != word[i])
            __atomic_store_n(&to[i], word[i], __ATOMIC_RELEASE);
}
