/* participant/log.c - the log of a section: words in the record, then in extents; read backwards.
 *
 * Word number i stands in the record if i < log_words, else in the extent that covers it. An entry never straddles two of these: what is left
 * over is padding (an entry that saves words of offset 0). Every entry is whole before the journal word counts it.
 * Extents are blocks of the heap, linked by one store, and stay with the record for ever: whoever claims it inherits them. */
#include <errno.h>
#include <stdlib.h>

#include "participant/log.h"
#include "segment/guard.h"

/* ---- extents ---- */

static struct extent *extent_at(const struct tarn *seg, uint64_t ref)
{
    return ref && ref % 8 == 0 && in_data(seg, ref, extent_size(&seg->geometry)) ? at_offset(seg, ref) : NULL;
}

/* The place of the link behind extent number n - 1 of the chain, or of the first one; NULL: the chain ends before, or goes on for longer than there is
 * memory, in a circle. What was seen is remembered in private memory, so that the log is read backwards without walking the chain for each extent;
 * without memory for that it is walked. Links are checked again wherever they are followed. */
static uint64_t *link_at(struct self *s, uint64_t n)
{
    struct tarn *seg = s->seg;
    uint64_t *link = &s->record->log_more, at = 0;
    if (n > committed_of(seg) / extent_size(&seg->geometry))
        return NULL;
    if (s->log_extents) {
        at = n < s->log_extents ? n : s->log_extents;
        if (at) {
            struct extent *x = extent_at(seg, s->log_extent[at - 1]);
            if (!x)
                return NULL;
            link = &x->next;
        }
    }
    for (; at < n; at++) {
        uint64_t ref = load64(link);
        struct extent *x = extent_at(seg, ref);
        if (!x)
            return NULL;
        if (at == s->log_extents) {
            if (at == s->log_extent_room) {
                uint32_t room = at ? (uint32_t)at * 2 : 16;
                uint64_t *more = realloc(s->log_extent, room * sizeof *more);
                if (more) {
                    s->log_extent = more;
                    s->log_extent_room = room;
                }
            }
            if (at < s->log_extent_room)
                s->log_extent[s->log_extents++] = ref;
        }
        link = &x->next;
    }
    return link;
}

/* The window of the log that holds word i, into s. false: the log ends before. */
static bool seek(struct self *s, uint64_t i)
{
    const struct geometry *g = &s->seg->geometry;
    uint64_t base = g->log_words, words = extent_words(g), n, *link;
    struct extent *x;
    if (i < base) {
        s->log_at = record_log(s->seg, s->record);
        s->log_base = 0;
        s->log_room = base;
        return true;
    }
    n = (i - base) / words;
    link = link_at(s, n);
    x = link ? extent_at(s->seg, load64(link)) : NULL;
    if (!x)
        return false;
    s->log_at = (uint64_t *)(x + 1);
    s->log_base = base + n * words;
    s->log_room = words;
    return true;
}

static uint64_t *word_at(struct self *s, uint64_t i)
{
    if (TARN_RARE(i - s->log_base >= s->log_room) && !seek(s, i))
        return NULL;
    return s->log_at + (i - s->log_base);
}

/* One extent more, behind all that word i has before it: the inner order of stores, while the section is open. */
static int extend(struct self *s, uint64_t i)
{
    const struct geometry *g = &s->seg->geometry;
    uint64_t *link = link_at(s, (i - g->log_words) / extent_words(g));
    if (!link || load64(link))
        return fail(-EUCLEAN, "the log of participant %#x is damaged: run tarn check", s->id);
    return tarn_recovery.alloc_extent(s, link);
}

/* Room for an entry of `most` words, or of fewer but at least `least`, all in one window. Returns how many, or 0 (-ENOSPC). */
static uint64_t room(struct self *s, uint64_t least, uint64_t most, uint64_t **ret_at)
{
    for (;;) {
        uint64_t n = JOURNAL_WORDS(s->journal), left, *at;
        if ((n - s->log_base >= s->log_room) && !seek(s, n)) {
            if (extend(s, n))
                return 0;
            continue;
        }
        left = s->log_room - (n - s->log_base);
        at = s->log_at + (n - s->log_base);
        if (left >= least) {
            *ret_at = at;
            return left < most ? left : most;
        }
        at[left - 1] = LOG_WORD(0, left - 1); /* padding */
        compiler_barrier();
        put_journal(s, JOURNAL_OPEN, n + left);
    }
}

/* The entry that ends at word n - 1 and its length; its last word. 0: damaged. */
static uint64_t entry_before(struct self *s, uint64_t n, uint64_t *ret_word, uint64_t **ret_saved)
{
    uint64_t *at = word_at(s, n - 1), w, k;
    if (!at)
        return 0;
    w = *at;
    k = LOG_KIND(w) < LOG_ALLOC ? LOG_KIND(w) : 0;
    if (k > n - 1 - s->log_base)
        return 0;
    *ret_word = w;
    *ret_saved = at - k;
    return k + 1;
}

static bool is_free(uint64_t w)
{
    return LOG_KIND(w) == LOG_FREE || LOG_KIND(w) == LOG_RETIRE;
}

/* ---- the private set of blocks freed in this section ---- */

enum { FREED_FEW = 16 }; /* frees up to which the log is read instead */

static void put_freed(uint64_t *set, uint32_t room, uint64_t block)
{
    uint64_t at = block * 0x9e3779b97f4a7c15ull >> 20;
    while (set[at & (room - 1)])
        at++;
    set[at & (room - 1)] = block;
}

/* A greater set, with all that the log has. Without memory for it the log is read, which is slow and right. */
static void rebuild_freed(struct self *s)
{
    uint32_t room = 64;
    uint64_t n = JOURNAL_WORDS(s->journal), w, k, *saved, *set;
    while (room < s->frees * 4)
        room *= 2;
    free(s->freed);
    s->freed = NULL;
    s->freed_room = 0;
    set = calloc(room, sizeof *set);
    if (!set)
        return;
    for (uint32_t left = s->frees; n && left && (k = entry_before(s, n, &w, &saved)); n -= k)
        if (is_free(w)) {
            put_freed(set, room, LOG_OFFSET(w));
            left--;
        }
    s->freed = set;
    s->freed_room = room;
}

static void note_freed(struct self *s, uint64_t block)
{
    if (s->frees == 1)
        log_forget_freed(s);
    if (s->frees <= FREED_FEW)
        return;
    if (s->frees * 2 > s->freed_room)
        rebuild_freed(s);
    else
        put_freed(s->freed, s->freed_room, block);
}

void log_forget_freed(struct self *s)
{
    free(s->freed);
    s->freed = NULL;
    s->freed_room = 0;
}

void log_forget(struct self *s)
{
    log_forget_freed(s);
    free(s->log_extent);
    s->log_extent = NULL;
    s->log_extents = s->log_extent_room = 0;
}

int log_word(struct self *s, uint64_t word)
{
    uint64_t *at;
    if (!room(s, 1, 1, &at)) {
        s->refused = false;
        return -ENOSPC;
    }
    store64(at, word);
    put_journal(s, JOURNAL_OPEN, JOURNAL_WORDS(s->journal) + 1);
    if (is_free(word)) {
        s->frees++;
        note_freed(s, LOG_OFFSET(word));
    }
    return 0;
}

int log_reserve(struct self *s, uint64_t words)
{
    uint64_t *at;
    return room(s, words, words, &at) ? 0 : -ENOSPC;
}

int log_save(struct self *s, uint64_t offset, uint64_t words)
{
    int e = guarded(s->seg) ? guard_refuses(s->seg, offset, words * 8) : 0;
    s->refused = e < 0;
    if (e < 0)
        return e;
    while (words) {
        uint64_t *at, n = room(s, 2, words + 1 < 0x7fff ? words + 1 : 0x7fff, &at);
        const uint64_t *from = at_offset(s->seg, offset);
        if (!n)
            return -ENOSPC;
        n--;
        for (uint64_t i = 0; i < n; i++)
            at[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        at[n] = LOG_WORD(offset, n);
        compiler_barrier();
        put_journal(s, JOURNAL_OPEN, JOURNAL_WORDS(s->journal) + n + 1);
        offset += n * 8;
        words -= n;
    }
    return 0;
}

bool log_frees(struct self *s, uint64_t block)
{
    uint64_t n = JOURNAL_WORDS(s->journal), w, *saved;
    if (s->freed_room && s->frees > FREED_FEW) {
        for (uint64_t at = block * 0x9e3779b97f4a7c15ull >> 20; s->freed[at & (s->freed_room - 1)]; at++)
            if (s->freed[at & (s->freed_room - 1)] == block)
                return true;
        return false;
    }
    for (uint32_t left = s->frees; n && left;) {
        uint64_t k = entry_before(s, n, &w, &saved);
        if (!k)
            return false;
        if (is_free(w)) {
            if (LOG_OFFSET(w) == block)
                return true;
            left--;
        }
        n -= k;
    }
    return false;
}

static void count_undone(const struct tarn *seg, uint64_t offset)
{
    uint64_t *word = at_offset(seg, offset);
    if (offset % 8 == 0 && in_writable(seg, offset, 8))
        store64(word, load64(word) + 1);
}

/* Newest first. Each entry is taken off when it is done, so a death at any store begins again with the one in hand. */
void log_undo(struct self *s)
{
    uint64_t n = JOURNAL_WORDS(s->journal), w, *saved;
    guard_lift(s->seg); /* what was saved before this process's right to write there was taken */
    while (n) {
        uint64_t k = entry_before(s, n, &w, &saved);
        if (!k)
            break; /* damaged by a hostile writer: the rest cannot be known */
        if (k > 1 || LOG_KIND(w) == 0) {
            uint64_t offset = LOG_OFFSET(w);
            if (offset && offset % 8 == 0 && in_writable(s->seg, offset, (k - 1) * 8))
                for (uint64_t i = 0; i < k - 1; i++)
                    store64((uint64_t *)at_offset(s->seg, offset) + i, saved[i]);
        } else if (LOG_KIND(w) == LOG_ALLOC)
            tarn_recovery.undo_alloc(s, LOG_OFFSET(w));
        else if (LOG_KIND(w) == LOG_COUNT)
            count_undone(s->seg, LOG_OFFSET(w));
        n -= k;
        put_journal(s, JOURNAL_OPEN, n);
    }
    put_journal(s, JOURNAL_OPEN, 0);
    guard_lower(s->seg);
}

/* The frees of a committed section, newest first. */
void log_apply(struct self *s)
{
    uint64_t n = JOURNAL_WORDS(s->journal), w, *saved;
    while (n) {
        uint64_t k = entry_before(s, n, &w, &saved);
        if (!k)
            break;
        n -= k;
        if (is_free(w)) {
            tarn_recovery.free_block(s, LOG_OFFSET(w), LOG_KIND(w));
            put_journal(s, JOURNAL_COMMITTED, n);
        }
    }
    store64(&s->record->intent, 0);
    put_journal(s, JOURNAL_COMMITTED, 0);
}
