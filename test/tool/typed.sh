#!/usr/bin/env bash
# typed.sh LIBRARY INCLUDE COMPILER...: tarn/typed.h is good C11 and C++17 with all warnings, a program with it runs, and each use of a wrong type is
# refused. A compiler that is not there is skipped, with a word; one at least must be there.
set -euo pipefail
library=$1 include=$2
shift 2
dir=$(mktemp -d)
export TARN_SHM_DIR=$dir
trap 'rm -rf "$dir"' EXIT

cat >"$dir/use.c" <<'C'
#include <tarn/typed.h>
#include <stdio.h>

struct point { int x, y; };
struct name { char text[16]; };
struct job { long number; tarn_link link; tarn_link second; };
struct order { tarn_node node; long number; };
struct other { tarn_node node; long number; tarn_link link; };

TARN_VECTOR_OF(points, struct point);
TARN_VECTOR_OF(numbers, uint64_t);
TARN_MAP_OF(ages, struct name, uint32_t);
TARN_MAP_OF(names, uint32_t, struct name);
TARN_LIST_OF(jobs, struct job, link);
TARN_LIST_OF(second_jobs, struct job, second);
TARN_QUEUE_OF(orders, struct order, node);
TARN_STACK_OF(free_orders, struct order, node);
#ifdef TARN_TREE_U64 /* tarn.h has trees */
TARN_TREE_OF(events, int32_t, struct point);
TARN_TREE_OF(large, uint64_t, long);

static int in_order(int32_t key, struct point p, void *arg)
{
    int32_t *last = (int32_t *)arg;
    int right = key > *last && p.x == key;
    *last = key;
    return right ? 0 : -EDOM;
}
static int use_tree(tarn *seg)
{
    struct events events = {NULL};
    struct large large = {NULL};
    struct point p = {0, 1};
    int32_t last = INT32_MIN;
    uint64_t count = 0;
    long value = 0;
    if (events_open(seg, "events", TARN_CREATE, &events) < 0 || large_open(seg, "large", TARN_CREATE, &large) < 0)
        return 1;
    for (int32_t i = 40; i >= -40; i--) {
        p.x = i * 1000;
        if (events_insert(events, p.x, p) || events_insert(events, p.x, p) != -EEXIST)
            return 2;
    }
    if (events_each(events, in_order, &last) || last != 40000 || events_count(events, &count) || count != 81)
        return 3;
    last = -3000;
    if (events_range(events, -2500, 5000, in_order, &last) || last != 5000)
        return 4;
    last = 2999;
    if (events_range(events, 3000, 2000, in_order, &last) || last != 2999 ||
        events_range(events, 39500, INT32_MAX, in_order, &last) || last != 40000)
        return 5;
    p.y = 9;
    if (events_replace(events, -7000, p) || events_replace(events, 7, p) != -ENOENT || events_get(events, -7000, &p) || p.y != 9 ||
        events_remove(events, -7000) || events_get(events, -7000, &p) != -ENOENT || events_put(events, 7, p))
        return 6;
    if (large_put(large, UINT64_MAX, 5) || large_get(large, UINT64_MAX, &value) || value != 5)
        return 7;
#ifdef BAD_TREE
    large_put(events, 7, 5);
#endif
#ifdef BAD_TREE_VALUE
    events_put(events, 7, seg);
#endif
#ifdef BAD_TREE_CALLBACK
    large_each(large, in_order, &last);
#endif
    events_close(events);
    large_close(large);
    return 0;
}
#ifdef BAD_TREE_KEY
TARN_TREE_OF(by_number, double, long);
#endif
#ifdef BAD_TREE_KEY_STRUCT
TARN_TREE_OF(by_point, struct point, long);
#endif
#else
static int use_tree(tarn *seg)
{
    return !seg;
}
#endif
#ifdef BAD_MEMBER
TARN_LIST_OF(bad_jobs, struct job, number);
#endif
#ifdef BAD_NODE
TARN_QUEUE_OF(bad_orders, struct other, link);
#endif
#ifdef BAD_LARGE
struct large { char byte[70000]; };
TARN_VECTOR_OF(bad_vector, struct large);
#endif

struct own { struct jobs jobs; struct points points; }; /* as members */

static int show(struct job *job, void *arg)
{
    *(long *)arg += job->number;
    return 0;
}
static int add(struct name name, uint32_t age, void *arg)
{
    *(long *)arg += (long)age + name.text[0];
    return 0;
}
#ifdef BAD_CALLBACK
static int bad(struct other *job, void *arg)
{
    return !job || !arg;
}
#endif
#ifdef BAD_MAP_CALLBACK
static int bad_add(struct point name, uint32_t age, void *arg)
{
    return (int)age + name.x + !arg;
}
#endif

static int use(tarn *seg)
{
    struct points *points = NULL;
    struct numbers *numbers = NULL;
    struct ages ages = {NULL};
    struct names names = {NULL};
    struct jobs *jobs = NULL;
    struct second_jobs *second = NULL;
    struct orders *orders = NULL;
    struct free_orders *free_orders = NULL;
    struct point p = {1, 2}, q = {0, 0};
    struct name n = {"someone"};
    struct job *job;
    struct order *order = NULL;
    struct other other = {{0, 0}, 1, {0, 0, 0}};
    uint32_t age = 0;
    uint64_t index = 9, count = 0, number = 0;
    long sum = 0;
    tarn_ref ref, *place;
    (void)other;
    if (points_object(seg, "points", &points) < 0 || numbers_object(seg, "numbers", &numbers) < 0 ||
        ages_open(seg, "ages", TARN_CREATE, &ages) < 0 || names_open(seg, "names", TARN_CREATE, &names) < 0 ||
        jobs_object(seg, "jobs", &jobs) < 0 || second_jobs_object(seg, "second", &second) < 0 ||
        orders_object(seg, "orders", &orders) < 0 || free_orders_object(seg, "free", &free_orders) < 0)
        return 1;
    if (points_push(seg, points, p, &index) || index != 0 || points_get(seg, points, 0, &q) || q.y != 2 ||
        points_size(seg, points) != 1 || points_at(seg, points, 0)->x != 1)
        return 2;
    q.x = 7;
    if (points_set(seg, points, 0, q) || points_resize(seg, points, 3) || points_pop(seg, points, &q) || q.x != 0 ||
        points_at(seg, points, 0)->x != 7 || numbers_push(seg, numbers, 5, NULL) || numbers_pop(seg, numbers, &number) ||
        number != 5)
        return 3;
    if (ages_put(ages, n, 7) || ages_get(ages, n, &age) || age != 7 || ages_each(ages, add, &sum) || sum != 7 + 's' ||
        ages_count(ages, &count) || count != 1 || ages_remove(ages, n) || ages_get(ages, n, &age) != -ENOENT)
        return 4;
    if (names_put(names, 3, n) || names_get(names, 3, &n) || names_get(names, 4, &n) != -ENOENT)
        return 5;
    if (tarn_map_put(names.map, &age, sizeof age, "ab", 2) || names_get(names, age, &n) != -EPROTO)
        return 6;
    ages_close(ages);
    names_close(names);
    for (long i = 1; i <= 3; i++) {
        if (tarn_begin(seg) || tarn_alloc(seg, sizeof(struct job), &ref))
            return 7;
        job = (struct job *)tarn_ptr(seg, ref, sizeof *job);
        job->number = i;
        if (jobs_insert_last(seg, jobs, job) || second_jobs_insert_first(seg, second, job) || tarn_commit(seg))
            return 8;
    }
    sum = 0;
    if (jobs_each(seg, jobs, show, &sum) || sum != 6 || jobs_first(seg, jobs)->number != 1 ||
        second_jobs_first(seg, second)->number != 3 || jobs_last(seg, jobs)->number != 3 ||
        jobs_next(seg, jobs_first(seg, jobs))->number != 2 || jobs_next(seg, jobs_last(seg, jobs)) ||
        jobs_previous(seg, jobs_last(seg, jobs))->number != 2)
        return 9;
    job = jobs_first(seg, jobs);
    if (jobs_remove(seg, jobs, job) || jobs_insert_after(seg, jobs, job, jobs_first(seg, jobs)) ||
        jobs_next(seg, jobs_first(seg, jobs)) != job || jobs_remove(seg, jobs, job) ||
        jobs_insert_before(seg, jobs, job, jobs_first(seg, jobs)) || jobs_remove(seg, jobs, job) ||
        jobs_insert_first(seg, jobs, job) || jobs_first(seg, jobs) != job)
        return 10;
    if (tarn_begin(seg) || tarn_alloc(seg, sizeof *order, &ref))
        return 11;
    order = (struct order *)tarn_ptr(seg, ref, sizeof *order);
    order->number = 11;
    if (orders_push(seg, orders, order) || tarn_commit(seg) || orders_count(seg, orders) != 1)
        return 12;
    order = NULL;
    if (orders_pop(seg, orders, &order) || order->number != 11 || free_orders_push(seg, free_orders, order) ||
        free_orders_count(seg, free_orders) != 1 || orders_pop(seg, orders, &order) != -ENOENT)
        return 13;
    if (tarn_object(seg, "place", tarn_ref, &place) || free_orders_pop_into(seg, free_orders, place) ||
        orders_push_from(seg, orders, place) || *place || orders_pop_into(seg, orders, place) ||
        free_orders_push_from(seg, free_orders, place) || free_orders_pop(seg, free_orders, &order))
        return 14;
#ifdef BAD_VECTOR /* another vector */
    numbers_push(seg, points, 5, NULL);
#endif
#ifdef BAD_ELEMENT
    points_push(seg, points, n, NULL);
#endif
#ifdef BAD_RESULT
    points_get(seg, points, 0, &n);
#endif
#ifdef BAD_POINTER /* a pointer for a number */
    numbers_push(seg, numbers, &number, NULL);
#endif
#ifdef BAD_PLACE /* what is at an index is a point */
    struct name *at = points_at(seg, points, 0);
    (void)at;
#endif
#ifdef BAD_MAP
    ages_put(names, n, 7);
#endif
#ifdef BAD_KEY
    ages_put(ages, p, 7);
#endif
#ifdef BAD_VALUE
    names_put(names, 7, p);
#endif
#ifdef BAD_VALUE_PLACE
    ages_get(ages, n, &index);
#endif
#ifdef BAD_MAP_CALLBACK
    ages_each(ages, bad_add, NULL);
#endif
#ifdef BAD_LIST /* linked by the other link */
    jobs_insert_last(seg, second, job);
#endif
#ifdef BAD_JOB
    jobs_insert_last(seg, jobs, order);
#endif
#ifdef BAD_NEXT
    struct order *next = jobs_next(seg, job);
    (void)next;
#endif
#ifdef BAD_CALLBACK
    jobs_each(seg, jobs, bad, NULL);
#endif
#ifdef BAD_QUEUE
    orders_push(seg, free_orders, order);
#endif
#ifdef BAD_ORDER
    orders_push(seg, orders, &other);
#endif
#ifdef BAD_POP
    orders_pop(seg, orders, &job);
#endif
#ifdef BAD_OBJECT
    orders_object(seg, "orders", &free_orders);
#endif
    if (use_tree(seg))
        return 15;
    return tarn_check(seg, NULL, NULL);
}

int main(void)
{
    tarn *seg;
    int e;
    if (tarn_open("posix:/typed", TARN_CREATE, NULL, &seg) < 0)
        return 99;
    if ((e = use(seg)) != 0)
        fprintf(stderr, "step %d: %s\n", e, tarn_error());
    return e || tarn_close(seg) || tarn_unlink("posix:/typed");
}
C
cp "$dir/use.c" "$dir/use.cc"
mapfile -t bad < <(grep -o 'BAD_[A-Z_]*' "$dir/use.c" | sort -u)
grep -q 'define TARN_TREE_U64' "$include/tarn.h" || mapfile -t bad < <(printf '%s\n' "${bad[@]}" | grep -v TREE)
[[ ${#bad[@]} -ge 20 ]] || { echo "only ${#bad[@]} wrong types"; exit 1; }

tried=0
for compiler; do
    command -v "$compiler" >/dev/null || { echo "no $compiler: skipped"; continue; }
    tried=$((tried + 1))
    source=$dir/use.c standard=c11
    [[ $compiler != *++ ]] || source=$dir/use.cc standard=c++17
    flags=("-std=$standard" -I "$include")
    "$compiler" "${flags[@]}" -O1 -pedantic -Wall -Wextra -Werror -o "$dir/use" "$source" "$library" -Wl,-rpath,"$(dirname "$library")"
    "$dir/use"
    for wrong in "${bad[@]}"; do # no warning is asked for, and it is an error all the same
        if "$compiler" "${flags[@]}" -fsyntax-only "-D$wrong" "$source" 2>/dev/null; then
            echo "$compiler takes a wrong type: $wrong"
            exit 1
        fi
    done
    echo "$compiler: ${#bad[@]} wrong types refused"
done
[[ $tried -gt 0 ]] || { echo "no compiler"; exit 1; }
