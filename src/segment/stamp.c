/* segment/stamp.c - the geometry of a segment, and the stamp that holds it: written by its maker, judged by everybody else.
 *
 * A geometry is computed from five numbers (span size, record size, records, limit, options), and by no other input, so each
 * build computes the same zones or sees that it does not. stamp_check reads a private copy of the header only: what it has
 * judged cannot change afterwards. First what is foreign (-EPROTO), then what is damaged (-EUCLEAN); a message names the
 * field and both values, but where only the sum tells. It does not look beyond the header: what lies in the zones is each floor's to distrust. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "os/os.h"

#define KNOWN_OPTIONS                                                                                        \
    (SEGMENT_SAME_ADDRESS | SEGMENT_LOCKED | SEGMENT_DUMPED | SEGMENT_PREFAULTED | SEGMENT_EXCHANGE_UNLOCK | \
     SEGMENT_UNINITIALIZED | SEGMENT_COPY_ON_WRITE | SEGMENT_HUGE | SEGMENT_HUGE_RESERVED)
#define LIMIT_LEAST (UINT64_C(64) << 10)
#define LIMIT_MOST (UINT64_C(1) << 46)
#define SPANS_MOST                                                                                           \
    (UINT64_C(1) << 30) /* a span's number fits 32 bits, and data with its tables an address space */
#define RECORDS_MOST 4097u

static bool power_of_two_in(uint32_t n, uint32_t least, uint32_t most)
{
    return n >= least && n <= most && (n & (n - 1)) == 0;
}

/* What is wrong with the five numbers, or NULL. */
static const char *out_of_range(const struct geometry *g)
{
    if (!power_of_two_in(g->span_size, 4096, 65536))
        return "span_size is a power of two from 4096 to 65536";
    if (!power_of_two_in(g->record_size, 2048, 65536))
        return "record_size is a power of two from 2048 to 65536";
    if (g->records < 2 || g->records > RECORDS_MOST)
        return "participants are 1 to 4096";
    if (g->limit < LIMIT_LEAST || g->limit > LIMIT_MOST)
        return "limit is 64 KiB to 64 TiB";
    if (g->limit % g->span_size)
        return "limit is a multiple of span_size";
    if (g->limit / g->span_size > SPANS_MOST)
        return "limit is at most 2^30 spans: take bigger spans";
    return NULL;
}

static uint64_t whole_pages(uint64_t size)
{
    uint64_t page = os_page_size();
    return (size + page - 1) / page * page;
}

/* Zones one after the other: header, then by number. */
static void compute_zones(struct geometry *g)
{
    uint64_t size[ZONES] = {0}, at = whole_pages(sizeof(struct segment_header));
    for (const struct floor *const *f = tarn_floors; *f; f++)
        if ((*f)->zone_size)
            size[(*f)->zone] += (*f)->zone_size(g);
    size[ZONE_SIDE] = (uint64_t)g->side_size * g->spans;
    size[ZONE_DATA] = g->limit;
    for (int zone = 0; zone < ZONES; zone++) {
        g->zone[zone] = at;
        at += whole_pages(size[zone]);
    }
    g->end = g->zone[ZONE_DATA] + g->limit;
    g->page = os_page_size();
    if (g->options & SEGMENT_HUGE_RESERVED) { /* what is mapped is whole pages */
        g->page = os_huge_page();
        g->end = (g->end + g->page - 1) / g->page * g->page;
    }
}

int geometry_compute(struct geometry *g)
{
    const char *fault = out_of_range(g);
    if (fault)
        return fail(-EINVAL, "%s (span_size %u, record_size %u, participants %u, limit %llu)", fault,
                    g->span_size, g->record_size, g->records - 1, (unsigned long long)g->limit);
    g->span_shift = (uint32_t)__builtin_ctz(g->span_size);
    g->spans = (uint32_t)(g->limit >> g->span_shift);
    g->side_size = tarn_side_size(g->span_size);
    g->slots = g->record_size / 64;
    g->events = g->record_size / 512; /* an eighth of it */
    g->log_words = (g->record_size - 256) / 8 - g->slots - g->events * 8;
    compute_zones(g);
    return 0;
}

/* FNV-1a. The first word is taken for what it will be. */
uint64_t stamp_sum(const struct segment_header *h)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325), magic = SEGMENT_MAGIC;
    for (size_t i = 0; i < offsetof(struct segment_header, sum); i++)
        sum = (sum ^ (i < 8 ? (unsigned char)(magic >> 8 * i) : ((const unsigned char *)h)[i])) *
              UINT64_C(0x100000001b3);
    return sum;
}

void stamp_write(struct segment_header *h, const struct geometry *g, const struct backing *backing)
{
    h->version = SEGMENT_VERSION;
    h->byte_order = SEGMENT_BYTE_ORDER;
    h->word_size = sizeof(void *);
    h->page_size = (uint32_t)os_page_size();
    h->options = g->options;
    h->span_size = g->span_size;
    h->record_size = g->record_size;
    h->records = g->records;
    h->side_size = g->side_size;
    h->liveness_size = sizeof(pthread_mutex_t);
    h->limit = g->limit;
    memcpy(h->zone, g->zone, sizeof h->zone);
    h->created = (uint64_t)time(NULL);
    h->address = g->address;
    h->named = backing->named;
    strncpy(h->backing, backing->name, sizeof h->backing - 1);
    h->build_id_size = (uint32_t)os_build_id(h->build_id, sizeof h->build_id);
    h->sum = stamp_sum(h);
}

void stamp_publish(struct segment_header *h)
{
    __atomic_store_n(&h->magic, SEGMENT_MAGIC, __ATOMIC_RELEASE);
}

/* ---- judging ---- */

bool stamp_is_ours(const struct segment_header *h, int64_t got)
{
    return got >= (int64_t)sizeof h->magic && h->magic == SEGMENT_MAGIC;
}

static int differ(const char *what, const char *field, uint64_t theirs, uint64_t ours)
{
    return fail(-EPROTO, "%s: its %s is %llu, and this build's is %llu: use the build that made it, or make it anew",
                what, field, (unsigned long long)theirs, (unsigned long long)ours);
}

static int check_foreign(const char *what, const struct segment_header *h, int64_t got)
{
    if (!stamp_is_ours(h, got)) {
        if (got >= (int64_t)sizeof h->magic && h->magic == __builtin_bswap64(SEGMENT_MAGIC))
            return fail(-EPROTO, "%s: its byte order is the other one: made on a machine unlike this one", what);
        return fail(-EPROTO, "%s: no tarn segment: its magic is %016llx, and a segment's is %016llx", what,
                    (unsigned long long)(got >= (int64_t)sizeof h->magic ? h->magic : 0),
                    (unsigned long long)SEGMENT_MAGIC);
    }
    if (got < (int64_t)sizeof *h)
        return fail(-EUCLEAN, "%s: truncated: it has %lld bytes, and the header alone %zu", what,
                    (long long)got, sizeof *h);
    if (h->byte_order != SEGMENT_BYTE_ORDER)
        return differ(what, "byte order", h->byte_order, SEGMENT_BYTE_ORDER);
    if (h->version != SEGMENT_VERSION)
        return differ(what, "layout version", h->version, SEGMENT_VERSION);
    if (h->word_size != sizeof(void *))
        return differ(what, "word size", h->word_size, sizeof(void *));
    if (h->page_size != os_page_size())
        return differ(what, "page size", h->page_size, os_page_size());
    if (h->liveness_size != sizeof(pthread_mutex_t))
        return differ(what, "size of a liveness mutex", h->liveness_size, sizeof(pthread_mutex_t));
    if (h->lifetime >= LIFETIMES)
        return differ(what, "kind of lifetime", h->lifetime, LIFETIMES - 1);
    if (h->options & ~(uint32_t)KNOWN_OPTIONS)
        return differ(what, "set of options", h->options, KNOWN_OPTIONS);
    return 0;
}

static int check_zones(const char *what, const struct segment_header *h, const struct geometry *g)
{
    static const char *const name[ZONES] = {"place of participants", "place of names", "place of side tables",
                                            "place of data"};
    if (h->side_size != g->side_size)
        return differ(what, "side table size", h->side_size, g->side_size);
    for (int zone = 0; zone < ZONES; zone++)
        if (h->zone[zone] != g->zone[zone])
            return differ(what, name[zone], h->zone[zone], g->zone[zone]);
    return 0;
}

/* Where everybody is to map it: a place where a process can. */
static int check_address(const char *what, const struct segment_header *h, const struct geometry *g)
{
    uint64_t most = UINT64_C(1) << 47;
    bool wanted = h->options & SEGMENT_SAME_ADDRESS;
    if (wanted != (h->address != 0) || h->address % os_page_size() || h->address > most || g->end > most - h->address)
        return fail(-EUCLEAN, "%s: damaged: it is to be mapped at %#llx, %llu bytes%s", what,
                    (unsigned long long)h->address, (unsigned long long)g->end,
                    wanted ? "" : ", and is no same-address segment");
    return 0;
}

static int check_committed(const char *what, const struct segment_header *h, uint64_t file_size,
                           const struct geometry *g)
{
    if (h->committed > g->limit || h->committed % g->span_size)
        return fail(-EUCLEAN, "%s: damaged: it says that %llu bytes of data are committed, of a limit of %llu in spans of %u",
                    what, (unsigned long long)h->committed, (unsigned long long)g->limit, g->span_size);
    if (file_size < g->zone[ZONE_DATA] + h->committed)
        return fail(-EUCLEAN, "%s: truncated: it has %llu bytes, and its header says %llu", what,
                    (unsigned long long)file_size, (unsigned long long)(g->zone[ZONE_DATA] + h->committed));
    return 0;
}

int stamp_check(const char *what, const struct segment_header *h, int64_t got, uint64_t file_size,
                struct geometry *ret)
{
    int error = check_foreign(what, h, got);
    if (error < 0)
        return error;
    struct geometry g = {.span_size = h->span_size,
                         .record_size = h->record_size,
                         .records = h->records,
                         .limit = h->limit,
                         .options = h->options};
    const char *fault = out_of_range(&g);
    if (fault)
        return fail(-EUCLEAN, "%s: damaged: %s, and it says span_size %u, record_size %u, records %u, limit %llu",
                    what, fault, h->span_size, h->record_size, h->records, (unsigned long long)h->limit);
    if (h->sum != stamp_sum(h))
        return fail(-EUCLEAN, "%s: damaged: the sum of its stamp is %016llx, and it says %016llx", what,
                    (unsigned long long)stamp_sum(h), (unsigned long long)h->sum);
    g.address = h->address;
    if ((error = geometry_compute(&g)) < 0 || (error = check_address(what, h, &g)) < 0 ||
        (error = check_zones(what, h, &g)) < 0 || (error = check_committed(what, h, file_size, &g)) < 0)
        return error;
    *ret = g;
    return 0;
}
