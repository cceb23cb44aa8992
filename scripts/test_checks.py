#!/usr/bin/env python3
"""Sees the static checks fail on planted faults, and pass on what is right. Run by the lint suite."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import mutants  # noqa: E402
import mutation  # noqa: E402

FAULTY = '''/* store64(in, a_comment); */
static void both(struct self *s, struct record *r, uint64_t *slot)
{
    store64(slot, 1); /* two
                       * lines */
    compiler_barrier();
    if (r->state)
        store32(&r->state, 0);
    exchange32(&r->other, 1);
    all_threads_barrier(s->seg);
    if (load32(&r->other) != 1)
        return;
    for (unsigned i = 0; i < 4; i++)
        os_futex_wake(&r->other, 1);
}

int two(struct self *s, uint64_t *word)
{
    uint32_t was = load32(&s->record->state);
    const char *text = "a < b";
    if (log_save(s, 8, 1) || was > 3)
        return -1;
    return was && load32(&s->record->state) == was;
}
'''
FAULTS = [  # kind, tso, what
    ('store', False, 'store64(slot, 1); -> ;'),
    ('barrier', False, 'compiler_barrier(); -> ;'),
    ('swap', False, 'store64(slot, 1); -> if (r->state) store32(&r->state, 0);; if (r->state) store32(&r->state, 0); -> store64(slot, 1);'),
    ('store', False, 'store32(&r->state, 0); -> ;'),
    ('swap', False, 'if (r->state) store32(&r->state, 0); -> exchange32(&r->other, 1);; '
                    'exchange32(&r->other, 1); -> if (r->state) store32(&r->state, 0);'),
    ('store', False, 'exchange32(&r->other, 1); -> ;'),
    ('order', True, 'exchange32 -> store32'),
    ('barrier', True, 'exchange32(&r->other, 1); -> all_threads_barrier(s->seg);; all_threads_barrier(s->seg); -> exchange32(&r->other, 1);'),
    ('barrier', True, 'all_threads_barrier(s->seg); -> ;'),
    ('barrier', True, 'all_threads_barrier(s->seg); -> __atomic_thread_fence(__ATOMIC_SEQ_CST);'),
    ('barrier', True, 'all_threads_barrier(s->seg); -> if (load32(&r->other) != 1) return;; '
                      'if (load32(&r->other) != 1) return; -> all_threads_barrier(s->seg);'),
    ('recheck', False, 'load32(&r->other) != 1 -> (0)'),
    ('compare', False, '< -> <='),
    ('wake', False, 'os_futex_wake(&r->other, 1); -> ;'),
    ('save', False, 'log_save(s, 8, 1) -> 0'),
    ('compare', False, '> -> >='),
    ('recheck', False, 'load32(&s->record->state) == was -> (1)'),
]

GOOD_FLOORS = {
    'include/tarn.h': '',
    'src/floors.c': '#include "channel/ring.h"\n#include "os/os.h"\n#include "tarn.h"\n#include <stdio.h>\n',
    'src/os/os.h': '#include <sys/mman.h>\n',
    'src/heap/heap.h': '#include "sync/mutex.h"\n',
    'src/heap/heap.c': '#include "heap.h"\n#include "heap/heap.h"\n#include "os/os.h"\n#include <xxhash.h>\n',
    'src/sync/mutex.h': '',
    'src/channel/ring.h': '#include "collection/map.h"\n',
    'src/collection/map.h': '#include "name/name.h"\n',
    'src/name/name.h': '#include "heap/heap.h"\n',
    'tool/main.c': '#include <tarn.h>\n#include "tool.h"\n',
    'tool/tool.h': '',
    'demo/demo.c': '#include <tarn.h>\n#include "demo.h"\n#include <stdlib.h>\n',
    'demo/demo.h': '',
    'bench/locks/lock.cc': '#include "../bench.h"\n#include "bench.h"\n#include <boost/x.hpp>\n',
    'bench/bench.h': '#include <tarn.h>\n',
    'test/unit/t.c': '#include "heap/heap.h"\n',
}

BAD_FLOORS = [  # file, text, what is said
    ('src/os/os.c', '#include "backing/backing.h"\n', 'goes up, from os to backing'),
    ('src/sync/mutex.c', '#include <stdio.h>\n#include "heap/heap.h"\n', 'mutex.c:2: "heap/heap.h" goes up'),
    ('src/sync/mutex.c', '# include  <heap/heap.h>\n', 'goes up, from sync to heap'),
    ('src/collection/map.c', '#include "channel/ring.h"\n', 'goes up, from collection to channel'),
    ('src/heap/heap.c', '#include "../collection/map.h"\n', 'write it as'),
    ('src/heap/heap.c', '#include "mutex.h"\n', 'no file of its own floor'),
    ('src/heap/heap.c', '#include "test/x.h"\n', 'test is no floor'),
    ('src/attic/x.c', '#include <stdio.h>\n', 'src/attic is no floor'),
    ('tool/main.c', '#include "heap/heap.h"\n', 'tool includes only <tarn.h>'),
    ('tool/main.c', '#include "../src/os/os.h"\n', 'tool includes only <tarn.h>'),
    ('demo/demo.c', '#include <heap/heap.h>\n', 'demo includes only <tarn.h>'),
    ('demo/demo.c', '#include "../tool/tool.h"\n', 'demo includes only <tarn.h>'),
    ('examples/e.c', '#include "e.h"\n', 'examples includes only <tarn.h>'),
    ('bench/b.cc', '#include "segment/segment.h"\n', 'bench includes only <tarn.h>'),
]

GOOD_LAYOUT = '''
/* uint64_t *in a comment; */
#define TWO \\
    (1 + 1)
enum state { FREE, TAKEN = 1 };
struct inner { int32_t a; tarn_ref b; };
struct outer {
    uint8_t a, b[TWO], c[2][3];
    char name[8]; // long name;
    uint64_t line __attribute__((aligned(64)));
    tarn_mutex lock;
    struct inner in, more[4];
    struct { uint32_t x, y; } pairs[2];
    _Alignas(64) uint64_t tail[];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct inner) == 16, "inner; layout");
_Static_assert(sizeof(struct outer) == 256, "outer layout");
'''

BAD_FIELDS = [  # a field of an otherwise good struct, what is said
    ('uint64_t *next;', 'no pointers'),
    ('uint64_t a, *next;', 'no pointers'),
    ('void (*undo)(int);', 'void is no type'),
    ('uint32_t open : 1;', 'no bit-fields'),
    ('long n;', 'long is no type'),
    ('unsigned int n;', 'unsigned is no type'),
    ('size_t n;', 'size_t is no type'),
    ('bool b;', 'bool is no type'),
    ('enum state s;', 'enum is no type'),
    ('union { uint32_t a; uint64_t b; } u;', 'union is no type'),
    ('pthread_mutex_t m;', 'pthread_mutex_t is no type'),
    ('char c;', 'char only in arrays'),
    ('struct timespec t;', 'declared in no layout.h'),
    ('struct { uint32_t a; size_t b; } pair;', 'size_t is no type'),
    ('struct hidden { uint32_t a; } h;', 'declare it by itself'),
]

BAD_LAYOUTS = [  # a whole file, what is said
    ('struct s { uint64_t a; };', 'struct s has no _Static_assert'),
    ('struct s { uint64_t a; };\n_Static_assert(offsetof(struct s, a) == 0, "");', 'struct s has no _Static_assert'),
    ('typedef struct { uint64_t a; } s;', 'only structs'),
    ('static inline int f(void) { return 1; }', 'only structs'),
    ('extern int x;', 'only structs'),
]


class Checks(unittest.TestCase):
    def tree(self, files):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for name, text in files.items():
            path = pathlib.Path(directory.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return directory.name

    def check(self, script, top, said=None):
        """The script passes on the tree, or, where something is to be said, fails with one line that says it."""
        run = subprocess.run([sys.executable, str(HERE / script), top], capture_output=True, text=True)
        self.assertEqual(run.stderr, '')
        if said is None:
            self.assertEqual((run.stdout, run.returncode), ('', 0))
        else:
            self.assertIn(said, run.stdout)
            self.assertEqual((run.stdout.count('\n'), run.returncode), (1, 1))

    def test_floors(self):
        self.check('check-floors.py', self.tree(GOOD_FLOORS))
        for name, text, said in BAD_FLOORS:
            with self.subTest(name=name, text=text):
                self.check('check-floors.py', self.tree({**GOOD_FLOORS, name: text}), said)

    def test_layout(self):
        self.check('check-layout.py', self.tree({'src/heap/layout.h': GOOD_LAYOUT}))
        for field, said in BAD_FIELDS:
            with self.subTest(field=field):
                text = f'struct s {{ uint64_t a; {field} }};\n_Static_assert(sizeof(struct s) == 16, "");'
                self.check('check-layout.py', self.tree({'src/heap/layout.h': text}), said)
        for text, said in BAD_LAYOUTS:
            with self.subTest(text=text):
                self.check('check-layout.py', self.tree({'src/heap/layout.h': text}), said)

    def test_layout_of_another_floor(self):
        other = 'struct s { struct inner in; };\n_Static_assert(sizeof(struct s) == 16, "");'
        self.check('check-layout.py', self.tree({'src/heap/layout.h': GOOD_LAYOUT, 'src/name/layout.h': other}))

    @unittest.skipUnless(shutil.which('git'), 'git is not installed')
    def test_words(self):
        place, bench = '/wo' + 'rk/', 'farm-' + 'bench'
        for name, text, said in [
                ('good.md', f'net{place}, a{place}b, /works/', None),
                ('bad.md', f'fine\nsee {place}main', 'bad.md:2: a path'),
                ('bad.c', f'open("{place}x")', 'bad.c:1: a path'),
                ('bad.txt', f'{bench} said', 'bad.txt:1: a word'),
                (f'{bench}.md', '', 'its name has')]:
            with self.subTest(name=name, text=text):
                top = self.tree({name: text})
                subprocess.run(['git', 'init', '-q', top], check=True)
                subprocess.run(['git', '-C', top, 'add', '.'], check=True)
                self.check('check-words.py', top, said)

    def test_mutants(self):
        top = pathlib.Path(self.tree({f'src/{floor}/x.c': FAULTY if floor == 'sync' else '' for floor in mutation.FLOORS}))
        found = mutation.mutants(top)
        self.assertEqual(sorted((m.kind, m.tso, m.what) for m in found), sorted(FAULTS))
        self.assertEqual(len({m.name for m in found}), len(found))
        for m in found:
            with self.subTest(name=m.name):
                self.assertNotEqual(m.apply(FAULTY), FAULTY)
                self.assertEqual(m.apply(FAULTY).count('\n'), FAULTY.count('\n'))

    def test_mutants_of_the_library_are_found(self):
        found = mutation.mutants(HERE.parent)
        self.assertGreater(len(found), 500)
        self.assertGreaterEqual(sum(m.tso for m in found), 10)
        self.assertEqual({m.kind for m in found}, set(mutation.KINDS))
        # renamed by no line put before it
        name = 'sync/mutex_slow.c:mutex_take_slow:barrier:1'
        self.assertEqual([m.what for m in found if m.name == name], ['all_threads_barrier(seg); -> ;'])

    def test_what_planting_needs(self):
        top = (HERE.parent / 'meson.build').read_text()
        self.assertEqual(mutants.not_copied(top), [])
        self.assertEqual(mutants.not_copied("subdir('src')\nif x\n  subdir('bench/lines')\nendif\nif fs.exists('demo/meson.build')\n  subdir('demo')\nendif\n"
                                            "subdir('stray')\n  subdir('bench')\n"), ['stray', 'bench'])
        sums = {k.name: mutants.killer_sum(k) for k in mutants.killers()}
        self.assertNotEqual(sums['mq_points'], sums['mq_deaths'])
        with self.assertRaisesRegex(SystemExit, 'no operation'):
            mutants.killer_sum(mutants.Killer('crashlab stray', 'test/crash/crashlab', ['--kills', '1', 'stray'], 1, 'channel'))
        with self.assertRaisesRegex(SystemExit, 'no source of test/kill/test_stray'):
            mutants.killer_sum(mutants.Killer('stray', 'test/kill/test_stray', [], 1, 'channel'))


if __name__ == '__main__':
    unittest.main()
