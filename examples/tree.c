/* tree.c - an ordered map in shared memory: two processes keep a diary, by time. One writes; the other looks up what is between two times, without a
 * lock, whatever the first one does, or dies of. */
#include <tarn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed(void)
{
    return fprintf(stderr, "%s\n", tarn_error()), 1;
}

static void show(const struct tarn_tree_entry *e)
{
    printf("  %.*s %.*s\n", (int)e->key_size, (const char *)e->key, (int)e->size, (const char *)e->value);
}

static int look(void) /* in another process; the segment is read-only here */
{
    tarn *seg;
    tarn_tree *diary;
    tarn_tree_cursor *at;
    struct tarn_tree_entry e, before;
    if (tarn_open("posix:/diary", TARN_RDONLY, NULL, &seg) < 0 || tarn_tree_open(seg, "diary", 0, &diary) < 0 ||
        tarn_tree_cursor_open(diary, &at) < 0 || tarn_tree_seek(at, "12:00", 5, TARN_TREE_LOWER) < 0)
        return failed();
    printf("from 12:00 to 13:00:\n");
    while (tarn_tree_next(at, &e) == 0 && ((const char *)e.key)[1] == '2')
        show(&e);
    tarn_tree_seek(at, "12:00", 5, TARN_TREE_LOWER);
    if (tarn_tree_next(at, &e) < 0)
        return failed();
    printf("after 12:00 comes %.*s", (int)e.key_size, (const char *)e.key);
    if (tarn_tree_previous(at, &e) < 0 || tarn_tree_previous(at, &before) < 0) /* over the same one, then the one before */
        return failed();
    printf(", before it %.*s\n", (int)before.key_size, (const char *)before.key);
    printf("in the morning:\n");
    show(&before);
    while (tarn_tree_previous(at, &e) == 0)
        show(&e);
    tarn_tree_cursor_close(at);
    tarn_tree_close(diary);
    return tarn_close(seg) < 0;
}

int main(int argc, char **argv)
{
    static const char *const entry[][2] = {
        {"12:40", "coffee"}, {"08:00", "tea"}, {"17:00", "home"}, {"09:30", "mail"}, {"12:05", "lunch"}};
    tarn *seg;
    tarn_tree *diary;
    uint64_t count;
    if (argc > 1)
        return look();
    if (tarn_open("posix:/diary", TARN_CREATE, NULL, &seg) < 0 ||
        tarn_tree_open(seg, "diary", TARN_CREATE, &diary) < 0)
        return failed();
    for (int i = 0; i < 5; i++) /* each is there wholly or not at all, whenever this is killed */
        if (tarn_tree_put(diary, entry[i][0], 5, entry[i][1], strlen(entry[i][1])) < 0)
            return failed();
    if (fork() == 0)
        execl("/proc/self/exe", argv[0], "look", (char *)NULL);
    wait(NULL);
    if (tarn_tree_remove(diary, "17:00", 5) < 0 || tarn_tree_count(diary, &count) < 0)
        return failed();
    printf("left in the diary: %d entries\n", (int)count);
    fflush(stdout);
    tarn_tree_close(diary);
    tarn_unlink("posix:/diary");
    return tarn_close(seg) < 0;
}
