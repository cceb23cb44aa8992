/* show_kind.c - tarn's own objects as tarn show has them: their state and their entries, by the library's calls, without a lock. See show.h.
 *
 * text is the state in a few words; in detail stand its parts, for JSON and --raw; entries are elements of a child. What the library refuses is told in
 * its words, in place of the state. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tarn/channel.h>

#include "show.h"

enum { VALUE_MOST = 1 << 20 };

/* ---- what all have ---- */

static void refused(struct node *n, int error)
{
    node_text(n, error == -EIDRM ? "destroyed" : "not to be read: %s", tarn_error());
    node_add_string(n, "state", error == -EIDRM ? "destroyed" : "unreadable");
}

/* "held by ...; 0x10004 waits, 0x10005 waits" */
static void add_waiters(const struct show *s, struct node *n, tarn_ref ref)
{
    uint64_t count = 0;
    uint32_t last = 0;
    for (size_t k = 0; k < s->waiting_count; k++) {
        const struct tarn_waiting *w = &s->waiting[k];
        if (w->ref != ref || w->id == last) /* of several holders it is told several times */
            continue;
        last = w->id;
        if (++count <= 4)
            node_add_text(n, "%s%#x waits", count > 1 ? ", " : "; ", w->id);
    }
    if (count > 4)
        node_add_text(n, ", and %" PRIu64 " more", count - 4);
    node_add_number(n, "waiting", count);
}

static struct node *add_entries(struct node *n, const char *name)
{
    struct node *entries = node_add(n, name, NULL);
    if (entries)
        entries->is_list = entries->has_fields = true;
    return entries;
}

static bool is_enough(const struct show *s, const struct node *entries)
{
    return entries->count >= NODES_MOST || (!s->all && entries->count >= s->limit);
}

static struct node *add_element(struct node *entries, const char *type)
{
    char name[32];
    snprintf(name, sizeof name, "[%zu]", entries->count);
    return node_add(entries, name, type);
}

/* "struct job.link": the type, and where its link is. NULL: none was said, or it is not known. */
static const struct type *entry_type(struct show *s, uint64_t *ret_link)
{
    const char *dot = s->entry ? strrchr(s->entry, '.') : NULL;
    char *name = s->entry ? strndup(s->entry, dot ? (size_t)(dot - s->entry) : strlen(s->entry)) : NULL;
    const struct type *type = name ? show_type(s, name, 0, true) : NULL;
    free(name);
    if (type && !type->size)
        type = NULL;
    if (type && ret_link && !show_find_link(type, dot ? dot + 1 : NULL, ret_link)) {
        complain(s->c->name, "--entry %s: it has no such tarn_link, by which it could be in a list: say TYPE.MEMBER",
                 s->entry);
        s->status = WRONG;
        type = NULL;
    }
    return type;
}

static const struct type *key_type(struct show *s)
{
    const struct type *type = s->key ? show_type(s, s->key, 0, true) : NULL;
    return type && type->size ? type : NULL;
}

/* ---- synchronisation ---- */

static void show_holder(const struct show *s, struct node *n, const char *word, uint32_t id)
{
    char person[64];
    node_text(n, "%s %s", word, show_person(s, id, person, sizeof person));
}

static void show_mutex(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    const tarn_mutex *m = tarn_ptr(s->seg, ref, sizeof *m);
    uint32_t id = 0, word = m ? __atomic_load_n(&m->owner, __ATOMIC_RELAXED) : 0;
    int e = tarn_mutex_owner(s->seg, m, &id);
    bool dirty = word >> 31;
    (void)name;
    if (e < 0) {
        refused(n, e);
        return;
    }
    if (id)
        show_holder(s, n, "held by", id);
    else
        node_text(n, "free");
    if (dirty)
        node_add_text(n, ", dirty: a holder died");
    node_add_string(n, "state", id ? "held" : "free");
    node_add_number(n, "owner", id);
    node_add_number(n, "dirty", dirty);
    add_waiters(s, n, ref);
}

static void show_rwlock(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    struct tarn_rwlock_state state;
    char person[64];
    int e = tarn_rwlock_state(s->seg, tarn_ptr(s->seg, ref, sizeof(tarn_rwlock)), &state);
    (void)name;
    if (e < 0) {
        refused(n, e);
        return;
    }
    if (state.writer)
        show_holder(s, n, "written by", state.writer);
    else if (state.readers)
        node_text(n, "%u read, %s among them", state.readers, show_person(s, state.reader, person, sizeof person));
    else
        node_text(n, "free");
    if (state.dirty)
        node_add_text(n, ", dirty: a writer died");
    node_add_string(n, "state", state.writer ? "written" : state.readers ? "read" : "free");
    node_add_number(n, "writer", state.writer);
    node_add_number(n, "readers", state.readers);
    node_add_number(n, "dirty", state.dirty);
    add_waiters(s, n, ref);
}

static void show_condition(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    (void)name;
    node_text(n, "a condition");
    add_waiters(s, n, ref);
}

static void show_semaphore(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    uint32_t units;
    int e = tarn_semaphore_units(s->seg, tarn_ptr(s->seg, ref, sizeof(tarn_semaphore)), &units);
    (void)name;
    if (e < 0) {
        refused(n, e);
        return;
    }
    node_text(n, "%u units", units);
    node_add_number(n, "units", units);
    add_waiters(s, n, ref);
}

static void show_held(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    uint32_t available, units;
    int e = tarn_held_state(s->seg, tarn_ptr(s->seg, ref, sizeof(tarn_held)), &available, &units);
    (void)name;
    if (e < 0) {
        refused(n, e);
        return;
    }
    node_text(n, "%u of %u units available", available, units);
    node_add_number(n, "available", available);
    node_add_number(n, "units", units);
    add_waiters(s, n, ref);
}

static void show_barrier(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    struct tarn_barrier_state state;
    int e = tarn_barrier_state(s->seg, tarn_ptr(s->seg, ref, sizeof(tarn_barrier)), &state);
    (void)name;
    if (e < 0) {
        refused(n, e);
        return;
    }
    node_text(n, "%u arrived of %u members", state.arrived, state.members);
    if (state.parties)
        node_add_text(n, ", for %u parties", state.parties);
    if (state.broken)
        node_add_text(n, ", broken: a member died");
    node_add_number(n, "arrived", state.arrived);
    node_add_number(n, "members", state.members);
    node_add_number(n, "parties", state.parties);
    node_add_number(n, "broken", state.broken);
    node_add_number(n, "turn", state.turn);
    add_waiters(s, n, ref);
}

static void show_once(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    const tarn_once *o = tarn_ptr(s->seg, ref, sizeof *o);
    uint32_t id = 0, done = o ? __atomic_load_n(&o->done, __ATOMIC_ACQUIRE) : 0;
    int e = o ? tarn_mutex_owner(s->seg, &o->lock, &id) : -EINVAL;
    (void)name;
    if (e < 0 || done > 1) {
        node_text(n, "damaged");
        node_add_string(n, "state", "unreadable");
        return;
    }
    if (!done && id)
        show_holder(s, n, "being done by", id);
    else
        node_text(n, done ? "done" : "not done");
    node_add_string(n, "state", done ? "done" : id ? "running" : "not done");
    node_add_number(n, "owner", id);
    add_waiters(s, n, ref);
}

static void show_event(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    int set;
    int e = tarn_event_state(s->seg, tarn_ptr(s->seg, ref, sizeof(tarn_event)), &set);
    (void)name;
    if (e < 0) {
        refused(n, e);
        return;
    }
    node_text(n, set ? "set" : "not set");
    node_add_string(n, "state", set ? "set" : "not set");
    add_waiters(s, n, ref);
}

/* ---- list ---- */

struct walk {
    struct show *s;
    struct node *entries;
    const struct type *type, *key; /* NULL: their refs, or bytes */
    uint64_t before, size, count;
    bool numbers, ordered; /* of a map or tree: 64-bit numbers; keys are as TARN_TREE_OF has them */
    tarn_ref ref;          /* of the next link */
};

static int add_member(void *member, void *arg)
{
    struct walk *w = arg;
    tarn_link link;
    tarn_ref ref = w->ref;
    memcpy(&link, (char *)member + w->before, sizeof link);
    w->ref = link.next;
    w->count++;
    if (is_enough(w->s, w->entries)) {
        w->entries->more++;
        return 0;
    }
    struct node *n = add_element(w->entries, NULL);
    if (n && w->type)
        show_value(w->s, n, w->type, member, w->size, ref - w->before, w->s->follow);
    else if (n)
        show_ref(w->s, n, ref, NULL, 0);
    return 0;
}

static void show_list(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    tarn_list *list = tarn_ptr(s->seg, ref, sizeof *list);
    struct walk w = {.s = s, .size = sizeof(tarn_link)};
    struct node entries = {.is_list = true, .has_fields = true}, *kept;
    (void)name;
    w.type = entry_type(s, &w.before);
    if (w.type)
        w.size = w.type->size;
    else
        w.before = 0;
    w.entries = &entries;
    w.ref = list ? list->ends.next : 0;
    int e = list ? tarn_list_each(s->seg, list, w.before, w.size, add_member, &w) : -EINVAL;
    if (e < 0 && e != -EAGAIN)
        refused(n, e);
    else
        node_text(n, "%" PRIu64 " members%s", w.count, e ? ", of a list that is changing" : "");
    node_add_number(n, "count", w.count);
    if ((kept = entries.count || e == 0 ? add_entries(n, "entries") : NULL)) {
        kept->child = entries.child;
        kept->count = entries.count;
        kept->more = entries.more;
        return;
    }
    for (size_t k = 0; k < entries.count; k++)
        node_free(entries.child[k]);
    free(entries.child);
}

static void show_neighbour(const struct show *s, struct node *n, const char *which, const tarn_link *link)
{
    tarn_ref ref = tarn_ref_of(s->seg, link);
    node_add_text(n, ", %s ", which);
    if (ref)
        show_add_ref(s, n, ref);
    else
        node_add_text(n, "none");
    node_add_number(n, which, ref);
}

static void show_link(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    const tarn_link *l = tarn_ptr(s->seg, ref, sizeof *l);
    tarn_ref list = l ? __atomic_load_n(&l->list, __ATOMIC_RELAXED) : 0;
    (void)name;
    node_add_number(n, "list", list);
    node_text(n, list ? "in " : "in no list");
    if (!list)
        return;
    show_add_ref(s, n, list);
    show_neighbour(s, n, "next", tarn_list_next(s->seg, l));
    show_neighbour(s, n, "previous", tarn_list_previous(s->seg, l));
}

/* ---- vector, byte string, queue, stack ---- */

static void show_vector(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    tarn_vector *v = tarn_ptr(s->seg, ref, sizeof *v);
    uint64_t size = v ? tarn_vector_size(s->seg, v) : 0;
    uint32_t element = v ? __atomic_load_n(&v->element, __ATOMIC_RELAXED) : 0;
    char *room = element && element <= TARN_VECTOR_ELEMENT_MOST ? malloc(element) : NULL;
    const struct type *type = entry_type(s, NULL);
    int e = 0;
    (void)name;
    node_text(n, "%" PRIu64 " elements", size);
    if (element)
        node_add_text(n, " of %u bytes", element);
    node_add_number(n, "count", size);
    node_add_number(n, "element", element);
    struct node *entries = add_entries(n, "entries");
    for (uint64_t k = 0; room && entries && k < size; k++) {
        if (is_enough(s, entries)) {
            entries->more = size - k;
            break;
        }
        struct node *at = add_element(entries, NULL);
        if (!at)
            break;
        if ((e = tarn_vector_get(s->seg, v, k, room, element)) < 0) {
            node_text(at, "not to be read: %s", tarn_error());
            break;
        }
        show_bytes(s, at, type, room, element, tarn_ref_of(s->seg, tarn_vector_at(s->seg, v, k, element)));
    }
    free(room);
}

static void show_string(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    const tarn_bytes *b = tarn_ptr(s->seg, ref, sizeof *b);
    size_t size = 0, room = s->all ? COPY_MOST : VALUE_MOST;
    char *copy = malloc(room);
    int e = !b ? -EINVAL : copy ? tarn_bytes_get(s->seg, b, copy, room, &size) : -ENOMEM;
    (void)name;
    if (e < 0)
        refused(n, e);
    else {
        struct node *content = node_add(n, "content", NULL);
        const struct type *type = entry_type(s, NULL);
        node_text(n, "%zu bytes", size);
        node_add_number(n, "size", size);
        if (content)
            show_bytes(s, content, type, copy, size < room ? size : room, 0);
    }
    free(copy);
}

/* Its nodes are blocks that begin with one. Hostile ones may lead round: no more are shown than are counted. */
static void show_chain(struct show *s, struct node *n, uint64_t count, tarn_ref at)
{
    const struct type *type = entry_type(s, NULL);
    node_text(n, "%" PRIu64 " blocks", count);
    node_add_number(n, "count", count);
    struct node *entries = add_entries(n, "entries");
    for (uint64_t k = 0; entries && k < count && at && at % 8 == 0; k++) {
        const tarn_node *node = tarn_ptr(s->seg, at, sizeof *node);
        size_t size;
        if (is_enough(s, entries)) {
            entries->more = count - k;
            break;
        }
        struct node *block = add_element(entries, NULL);
        char *copy = node && type ? show_copy(s, at, type->size, &size) : NULL;
        if (!block)
            break;
        if (copy)
            show_value(s, block, type, copy, size, at, s->follow);
        else
            show_ref(s, block, at, NULL, 0);
        free(copy);
        at = node ? __atomic_load_n(&node->next, __ATOMIC_ACQUIRE) : 0;
    }
}

static void show_queue(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    const tarn_queue *q = tarn_ptr(s->seg, ref, sizeof *q);
    (void)name;
    show_chain(s, n, q ? tarn_queue_count(s->seg, q) : 0, q ? __atomic_load_n(&q->first, __ATOMIC_ACQUIRE) : 0);
}

static void show_stack(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    const tarn_stack *q = tarn_ptr(s->seg, ref, sizeof *q);
    (void)name;
    show_chain(s, n, q ? tarn_stack_count(s->seg, q) : 0, q ? __atomic_load_n(&q->first, __ATOMIC_ACQUIRE) : 0);
}

/* ---- map, tree ---- */

/* A key as tarn/typed.h has it in a tree: bytes whose order is the integers'. */
static bool show_ordered(struct node *n, const struct type *type, const unsigned char *key, size_t size)
{
    const struct type *bare = type ? type_bare(type) : NULL;
    uint64_t number = 0;
    if (!bare || bare->kind != TYPE_INTEGER || bare->size != size)
        return false;
    for (size_t k = 0; k < size; k++)
        number = number << 8 | key[k];
    if (bare->is_signed) { /* the sign stands upside down */
        number ^= UINT64_C(1) << (8 * size - 1);
        if (size < 8 && number >> (8 * size - 1) & 1)
            number |= UINT64_MAX << 8 * size;
    }
    node_text(n, bare->is_signed ? "%" PRId64 : "%" PRIu64, number);
    node_json(n, "%s", n->text);
    return true;
}

static void show_part(const struct walk *w, struct node *n, const struct type *type, const void *bytes, size_t size)
{
    if (w->numbers && !(type && type->size == size)) {
        uint64_t number = 0;
        memcpy(&number, bytes, size < 8 ? size : 8);
        node_number(n, number);
    } else
        show_bytes(w->s, n, type, bytes, size, 0);
}

static int add_pair(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    struct walk *w = arg;
    if (is_enough(w->s, w->entries))
        return 1;
    struct node *pair = add_element(w->entries, NULL), *k = pair ? node_add(pair, "key", NULL) : NULL;
    struct node *v = pair ? node_add(pair, "value", NULL) : NULL;
    if (!v)
        return 1;
    if (!w->ordered || !show_ordered(k, w->key, key, key_size))
        show_part(w, k, w->key, key, key_size);
    show_part(w, v, w->type, value, size);
    return 0;
}

static void tell_entries(struct node *n, struct node *entries, int error, uint64_t count)
{
    if (error < 0)
        refused(n, error);
    else
        node_text(n, "%" PRIu64 " entries", count);
    node_add_number(n, "count", count);
    if (entries && count > entries->count)
        entries->more = count - entries->count;
}

static void show_map(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    struct walk w = {.s = s, .type = entry_type(s, NULL), .key = key_type(s)};
    uint64_t cursor = 0, count = 0, number;
    tarn_map *map;
    (void)ref;
    int e = tarn_map_open(s->seg, name, 0, &map);
    if (e < 0) {
        refused(n, e);
        return;
    }
    w.numbers = tarn_map_get64(map, 0, &number) != -EPROTO;
    w.entries = add_entries(n, "entries");
    while (w.entries && (e = tarn_map_next(map, &cursor, add_pair, &w)) == 0 && cursor)
        ;
    if (e >= 0)
        e = tarn_map_count(map, &count);
    tell_entries(n, w.entries, e, count);
    tarn_map_close(map);
}

static void show_tree(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    struct walk w = {.s = s, .type = entry_type(s, NULL), .key = key_type(s), .ordered = true};
    uint64_t count = 0, number;
    tarn_tree_cursor *cursor = NULL;
    struct tarn_tree_entry entry;
    tarn_tree *tree;
    (void)ref;
    int e = tarn_tree_open(s->seg, name, 0, &tree);
    if (e < 0) {
        refused(n, e);
        return;
    }
    w.numbers = tarn_tree_get64(tree, 0, &number) != -EPROTO;
    w.ordered = !w.numbers;
    w.entries = add_entries(n, "entries");
    e = tarn_tree_cursor_open(tree, &cursor);
    while (e == 0 && w.entries && (e = tarn_tree_next(cursor, &entry)) == 0)
        e = add_pair(entry.key, entry.key_size, entry.value, entry.size, &w);
    if (e >= 0 || e == -ENOENT)
        e = tarn_tree_count(tree, &count);
    tell_entries(n, w.entries, e, count);
    tarn_tree_cursor_close(cursor);
    tarn_tree_close(tree);
}

/* ---- channels ---- */

static int add_party(const struct tarn_party *p, void *arg)
{
    struct walk *w = arg;
    char person[64];
    if (is_enough(w->s, w->entries)) {
        w->entries->more++;
        return 0;
    }
    struct node *n = add_element(w->entries, NULL);
    if (!n)
        return 0;
    bool sends = p->role & TARN_SEND, receives = p->role & TARN_RECEIVE;
    node_text(n, "%s %s%s, %" PRIu64 " messages, %" PRIu64 " behind, %" PRIu64 " lost",
              show_person(w->s, p->participant, person, sizeof person),
              sends && receives ? "sends and receives"
              : sends           ? "sends"
                                : "receives",
              p->alive ? "" : " (it died)", p->messages, p->behind, p->lost);
    node_add_number(n, "participant", p->participant);
    node_add_number(n, "pid", p->pid);
    node_add_string(n, "role", sends && receives ? "both" : sends ? "send" : "receive");
    node_add_number(n, "alive", p->alive ? 1 : 0);
    node_add_number(n, "messages", p->messages);
    node_add_number(n, "behind", p->behind);
    node_add_number(n, "lost", p->lost);
    return 0;
}

/* A topic shows its last message; other channels' messages are their receivers'. */
static void show_latest(struct show *s, struct node *n, const char *name, const struct tarn_channel_stat *st)
{
    struct tarn_topic_news news;
    tarn_topic *topic;
    size_t room = st->message && st->message <= COPY_MOST ? st->message : 64;
    char *copy = malloc(room);
    if (!copy || tarn_topic_open(s->seg, name, 0, NULL, &topic) < 0) {
        free(copy);
        return;
    }
    if (tarn_topic_latest(topic, copy, room, &news) == 0 && news.size <= room) {
        struct node *latest = node_add(n, "latest", NULL);
        if (latest)
            show_bytes(s, latest, entry_type(s, NULL), copy, news.size, 0);
        node_add_number(n, "sequence", news.sequence);
    }
    tarn_topic_close(topic);
    free(copy);
}

static void show_channel(struct show *s, struct node *n, const char *name, tarn_ref ref)
{
    struct tarn_channel_stat st;
    struct walk w = {.s = s};
    int e = tarn_channel_stat(s->seg, name, &st);
    (void)ref;
    if (e < 0) {
        refused(n, e);
        return;
    }
    node_text(n, "%" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " waiting; %u senders, %u receivers",
              st.sent, st.received, st.waiting, st.senders, st.receivers);
    if (st.deaths)
        node_add_text(n, "; %u deaths, %" PRIu64 " lost, %" PRIu64 " given again", st.deaths, st.lost, st.again);
    node_add_string(n, "kind", st.kind);
    node_add_number(n, "capacity", st.capacity);
    node_add_number(n, "message", st.message);
    node_add_number(n, "senders", st.senders);
    node_add_number(n, "receivers", st.receivers);
    node_add_number(n, "count", st.waiting);
    node_add_number(n, "sent", st.sent);
    node_add_number(n, "received", st.received);
    node_add_number(n, "lost", st.lost);
    node_add_number(n, "again", st.again);
    node_add_number(n, "deaths", st.deaths);
    if (strcmp(st.kind, "topic") == 0)
        show_latest(s, n, name, &st);
    w.entries = add_entries(n, "parties");
    if (w.entries && tarn_channel_parties(s->seg, name, add_party, &w) < 0)
        w.entries->more = st.senders + st.receivers;
}

/* ---- the table ---- */

struct show_kind {
    const char *type;
    uint64_t size; /* 0: of those that are known by their name, the library knows */
    void (*show)(struct show *s, struct node *n, const char *name, tarn_ref ref);
};

static const struct show_kind kinds[] = {
    {"tarn_mutex", sizeof(tarn_mutex), show_mutex},
    {"tarn_rwlock", sizeof(tarn_rwlock), show_rwlock},
    {"tarn_condition", sizeof(tarn_condition), show_condition},
    {"tarn_semaphore", sizeof(tarn_semaphore), show_semaphore},
    {"tarn_held", sizeof(tarn_held), show_held},
    {"tarn_barrier", sizeof(tarn_barrier), show_barrier},
    {"tarn_once", sizeof(tarn_once), show_once},
    {"tarn_event", sizeof(tarn_event), show_event},
    {"tarn_list", sizeof(tarn_list), show_list},
    {"tarn_link", sizeof(tarn_link), show_link},
    {"tarn_vector", sizeof(tarn_vector), show_vector},
    {"tarn_bytes", sizeof(tarn_bytes), show_string},
    {"tarn_queue", sizeof(tarn_queue), show_queue},
    {"tarn_stack", sizeof(tarn_stack), show_stack},
    {"tarn_map", 0, show_map},
    {"tarn_tree", 0, show_tree},
    {"tarn_ring", 0, show_channel},
    {"tarn_mq", 0, show_channel},
    {"tarn_topic", 0, show_channel},
    {"tarn_call", 0, show_channel},
};

const struct show_kind *show_kind_of(const char *type, uint64_t size)
{
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(kinds[k].type, type) == 0 && (!kinds[k].size || kinds[k].size == size))
            return &kinds[k];
    return NULL;
}

const char *show_kind_name(const struct show_kind *k)
{
    return k->type + strlen("tarn_");
}

bool show_kind_needs_name(const struct show_kind *k)
{
    return !k->size;
}

void show_kind(struct show *s, struct node *n, const struct show_kind *k, const char *name, tarn_ref ref)
{
    if (ref % 8) {
        node_text(n, "not to be read: it is not aligned to 8");
        node_add_string(n, "state", "unreadable");
    } else
        k->show(s, n, name, ref);
}
