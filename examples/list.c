/* list.c - a linked list in shared memory, which several processes may push to and pop from: its links are refs, not pointers.
 *
 *     list push WORD...    put words in front
 *     list pop             take the first, and print it
 *     list show            print all
 *     list remove          remove the segment
 *
 * Each change is one section: the node and the link to it are there together, or not at all, whenever the program is killed, and
 * nothing leaks. The list stays until `list remove`. */
#include <tarn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL "posix:/tarn-list"

struct list {
    tarn_mutex lock;
    tarn_ref first;
};

struct node {
    tarn_ref next;
    char word[]; /* with its NUL */
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "list: %s\n", tarn_error());
        exit(1);
    }
}

static struct node *node_at(tarn *seg, tarn_ref ref)
{
    return tarn_ptr(seg, ref, tarn_block_size(seg, ref));
}

static void push(tarn *seg, struct list *list, const char *word)
{
    tarn_ref ref;
    must(tarn_begin(seg));
    must(tarn_mutex_lock(seg, &list->lock));
    must(tarn_alloc(seg, sizeof(struct node) + strlen(word) + 1, &ref));
    struct node *node = node_at(seg, ref); /* nobody else sees it yet, so nothing of it need be saved */
    strcpy(node->word, word);
    node->next = list->first;
    must(tarn_write(seg, &list->first, &ref, sizeof ref));
    must(tarn_mutex_unlock(seg, &list->lock));
    must(tarn_commit(seg));
}

/* Prints the word before the commit: after a kill in between it may be printed twice, but it is never lost. */
static int pop(tarn *seg, struct list *list)
{
    must(tarn_begin(seg));
    must(tarn_mutex_lock(seg, &list->lock));
    tarn_ref ref = list->first;
    if (ref) {
        struct node *node = node_at(seg, ref);
        puts(node->word);
        fflush(stdout);
        must(tarn_write(seg, &list->first, &node->next, sizeof node->next));
        must(tarn_free(seg, ref)); /* readers take the lock here; for lock-free ones it would be tarn_retire */
    }
    must(tarn_mutex_unlock(seg, &list->lock));
    must(tarn_commit(seg));
    return ref ? 0 : 1;
}

static void show(tarn *seg, struct list *list)
{
    must(tarn_mutex_lock(seg, &list->lock)); /* all changes are sections, so never TARN_RECOVERED... */
    for (tarn_ref ref = list->first; ref; ref = node_at(seg, ref)->next)
        puts(node_at(seg, ref)->word);
    must(tarn_mutex_unlock(seg, &list->lock)); /* ... but for a death in here, where nothing changes: nothing to mend */
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    struct list *list;
    tarn *seg;
    int status = 0;
    if (strcmp(command, "remove") == 0)
        return tarn_unlink(URL) < 0 ? fprintf(stderr, "list: %s\n", tarn_error()), 1 : 0;
    if (strcmp(command, "push") != 0 && strcmp(command, "pop") != 0 && strcmp(command, "show") != 0)
        return fprintf(stderr, "usage: list push WORD... | pop | show | remove\n"), 2;
    must(tarn_open(URL, TARN_CREATE, NULL, &seg));
    must(tarn_object(seg, "list", struct list, &list));
    for (int i = 2; i < argc && strcmp(command, "push") == 0; i++)
        push(seg, list, argv[i]);
    if (strcmp(command, "pop") == 0)
        status = pop(seg, list);
    if (strcmp(command, "show") == 0)
        show(seg, list);
    must(tarn_close(seg));
    return status;
}
