/* bench/peer_lmdb.cc - LMDB on tmpfs: a writable mapping, no sync of any kind, no read-ahead, blocks not cleared; 1,000 operations a
 * transaction, those that read too (one reset and renewed). Numbers are MDB_INTEGERKEY. A value is read where it lies.
 *
 * The file is filled, and its mapping populated, beforehand. It has a name in /dev/shm for a moment only, until LMDB has opened it.
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace
{

constexpr unsigned per_transaction = 1000;

void good(int e, const char *what)
{
    if (__builtin_expect(e != 0, 0))
        bench_die("LMDB: %s: %s", what, mdb_strerror(e));
}

/* Every mapping of this file in this process is populated. */
void populate(int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        bench_die("LMDB's file: fstat");
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        bench_die("no /proc/self/maps");
    char line[512];
    unsigned found = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end, inode;
        unsigned high, low;
        if (sscanf(line, "%lx-%lx %*s %*s %x:%x %lu", &start, &end, &high, &low, &inode) == 5 &&
            inode == st.st_ino && makedev(high, low) == st.st_dev) {
            bench_populate(reinterpret_cast<void *>(start), end - start);
            found++;
        }
    }
    fclose(maps);
    if (!found)
        bench_die("LMDB's mapping was not found");
}

struct database : table_defaults {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *writing = nullptr, *reading = nullptr;
    bool reads = false; /* the reading transaction is in use, not reset */
    unsigned done = 0;

    database(size_t bytes, unsigned flags)
    {
        char directory[] = "/dev/shm/tarn-bench-XXXXXX", path[64], lock[64];
        if (!mkdtemp(directory))
            bench_die("mkdtemp in /dev/shm");
        snprintf(path, sizeof path, "%s/data.mdb", directory);
        snprintf(lock, sizeof lock, "%s/lock.mdb", directory);
        good(mdb_env_create(&env), "mdb_env_create");
        good(mdb_env_set_mapsize(env, (bytes + (16u << 20)) & ~size_t(4095)), "mdb_env_set_mapsize");
        int e = mdb_env_open(
            env, directory,
            MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_MAPASYNC | MDB_NORDAHEAD | MDB_NOMEMINIT, 0600);
        unlink(path);
        unlink(lock);
        rmdir(directory);
        good(e, "mdb_env_open");
        mdb_filehandle_t fd;
        good(mdb_env_get_fd(env, &fd), "mdb_env_get_fd");
        populate(fd);
        good(mdb_txn_begin(env, nullptr, 0, &writing), "mdb_txn_begin");
        good(mdb_dbi_open(writing, nullptr, MDB_CREATE | flags, &dbi), "mdb_dbi_open");
        end_of_loop();
        good(mdb_txn_begin(env, nullptr, MDB_RDONLY, &reading), "mdb_txn_begin");
        mdb_txn_reset(reading);
    }
    ~database()
    {
        end_of_loop();
        mdb_txn_abort(reading);
        mdb_env_close(env);
    }
    void end_of_loop()
    {
        if (writing)
            good(mdb_txn_commit(writing), "mdb_txn_commit");
        writing = nullptr;
        if (reads)
            mdb_txn_reset(reading);
        reads = false;
        done = 0;
    }
    MDB_txn *to_write()
    {
        if (done++ == per_transaction)
            end_of_loop(), done = 1;
        if (!writing)
            good(mdb_txn_begin(env, nullptr, 0, &writing), "mdb_txn_begin");
        return writing;
    }
    MDB_txn *to_read()
    {
        if (done++ == per_transaction)
            end_of_loop(), done = 1;
        if (!reads)
            good(mdb_txn_renew(reading), "mdb_txn_renew");
        reads = true;
        return reading;
    }
    uint64_t size()
    {
        MDB_stat st;
        good(mdb_stat(to_read(), dbi, &st), "mdb_stat");
        end_of_loop();
        return st.ms_entries;
    }
    bool get(MDB_val key, uint64_t *ret_value)
    {
        MDB_val value;
        int e = mdb_get(to_read(), dbi, &key, &value);
        if (e == MDB_NOTFOUND)
            return false;
        good(e, "mdb_get");
        memcpy(ret_value, value.mv_data, 8);
        return true;
    }
    void put(MDB_val key, uint64_t value)
    {
        MDB_val v = {8, &value};
        good(mdb_put(to_write(), dbi, &key, &v, 0), "mdb_put");
    }
    bool remove(MDB_val key)
    {
        int e = mdb_del(to_write(), dbi, &key, nullptr);
        if (e != MDB_NOTFOUND)
            good(e, "mdb_del");
        return !e;
    }
};

struct lmdb_numbers : database {
    explicit lmdb_numbers(size_t n) : database(n * 64, MDB_INTEGERKEY) {}
    static database &of(void *t)
    {
        return *static_cast<lmdb_numbers *>(t);
    }
    static void put(void *t, uint64_t key, uint64_t value)
    {
        of(t).put({8, &key}, value);
    }
    static bool find(void *t, uint64_t key, uint64_t *ret_value)
    {
        return of(t).get({8, &key}, ret_value);
    }
    static bool erase(void *t, uint64_t key)
    {
        return of(t).remove({8, &key});
    }

    struct cursor {
        database &d;
        MDB_cursor *c = nullptr;
        explicit cursor(void *t) : d(of(t))
        {
            good(mdb_cursor_open(d.to_read(), d.dbi, &c), "mdb_cursor_open");
        }
        ~cursor()
        {
            mdb_cursor_close(c);
            d.end_of_loop();
        }
        bool get(MDB_val key, MDB_cursor_op op, uint64_t *ret_key, uint64_t *ret_value)
        {
            MDB_val value;
            int e = mdb_cursor_get(c, &key, &value, op);
            if (e == MDB_NOTFOUND)
                return false;
            good(e, "mdb_cursor_get");
            memcpy(ret_key, key.mv_data, 8);
            memcpy(ret_value, value.mv_data, 8);
            return true;
        }
        bool seek(uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
        {
            return get({8, &from}, MDB_SET_RANGE, ret_key, ret_value);
        }
        bool next(uint64_t *ret_key, uint64_t *ret_value)
        {
            return get({}, MDB_NEXT, ret_key, ret_value);
        }
    };
};

struct lmdb_texts : database {
    explicit lmdb_texts(size_t n) : database(n * 160, 0) {}
    static database &of(void *t)
    {
        return *static_cast<lmdb_texts *>(t);
    }
    static void put(void *t, std::string_view key, uint64_t value)
    {
        of(t).put({key.size(), const_cast<char *>(key.data())}, value);
    }
    static bool find(void *t, std::string_view key, uint64_t *ret_value)
    {
        return of(t).get({key.size(), const_cast<char *>(key.data())}, ret_value);
    }
    static bool erase(void *t, std::string_view key)
    {
        return of(t).remove({key.size(), const_cast<char *>(key.data())});
    }
};

} // namespace

extern "C" {
extern const table_kind peer_lmdb_numbers = ordered<lmdb_numbers>::kind("lmdb", false);
extern const text_kind peer_lmdb_texts = strings<lmdb_texts>::kind("lmdb", false);
}
