#!/usr/bin/env python3
"""Plants small faults in the library, one at a time, and asks the tests whether they see them. ./dev mutants

scripts/mutation.py finds the faults. Each is put into a copy of the tree, which is built as far as a test needs it; then killers are tried, cheap
ones first, until one fails, or does not end. What none sees is a survivor: a test is missing, or a store is not needed. A mutant
that changes nothing a user could see is excused by name, with the reason, in test/mutants/excused.txt; an excuse that fits no mutant any more
is an error. Two kinds are not planted: what does not build, and what the compiler makes the same machine code of as of the source.

Results are kept under build/mutants, by what the sources, the mutant and the test are: a second call tries only what is new.
The last line is MUTANTS planted=N killed=N survived=N excused=N tso=N; tso are those killed, of planted, that only a store buffer shows.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import mutation

TOP = pathlib.Path(__file__).resolve().parent.parent
EXCUSED = TOP / 'test/mutants/excused.txt'
COPIED = ['include', 'src', 'test', 'tool', 'man', 'scripts', 'gdb', 'meson.build', 'meson_options.txt', 'CHANGELOG.md', 'docs',
          'examples', 'bench/lines']
SEED = 26  # takes few mutants of headers, each of which has everything built anew
LEAST, LEAST_TSO = 60, 10  # a list of fewer is no list
# What a sample takes in turn, so that no kind is forgotten, and the many comparisons do not fill it. All tso come first.
TURNS = ['swap', 'store', 'save', 'swap', 'barrier', 'wake', 'swap', 'recheck', 'store', 'hint', 'compare', 'order']

# Cases of the explorer that take more than a second.
SLOW = {'mutex, timed': 8, 'section, three': 5, 'section, circle': 2, 'record, ': 5, 'map, split': 4, 'name, two': 4, 'rwlock, writer, two': 8,
        'rwlock, two writers': 9, 'condition, signal for': 17, 'condition, broadcast': 2, 'held, three': 5, 'topic, two wait': 14, 'barrier, three': 5}
QUICK = 3  # seconds: such tests are tried on every mutant

Killer = collections.namedtuple('Killer', 'name target args seconds sees')


def killers():
    """Tests, each with its target, seconds on an idle machine, and the files, or floors, that it is about: see in_order. A test to come is one more line."""
    k = []
    slow = 'sync/mutex sync/wait.c sync/slots.c sync/sync.h participant'  # what a mutex alone meets of those two floors
    for name, seconds, sees in (('section', .1, 'participant sync/mutex'), ('record', .1, 'participant'), ('mutex', .2, slow), ('list', 2, 'collection/list.c'),
                                ('heap', 5, 'heap'), ('heap_size', .4, 'heap'), ('heap_edge', 1, 'heap'), ('map', 6, 'collection/map'), ('name', 4, 'name'), ('vector', 3, 'collection/vector.c'),
                                ('bytes', 1, 'collection/bytes.c'), ('again', .1, 'collection participant/again.h'), ('queue', 2, 'collection/queue.c'), ('tree', 8, 'collection/tree'), ('tree_way', .2, 'collection/tree'),
                                ('sync_lock', 11, 'sync/rwlock.c sync/who.c sync/condition.c sync/wait.c sync/mutex participant/held.c sync'),
                                ('sync_meet', 6, 'sync/semaphore.c sync/event.c sync/held.c sync/barrier.c sync/once.c sync/wait_any.c sync'),
                                ('bounds', 1, 'participant sync/wait.c sync/slots.c'), ('topic', 2, 'channel/topic channel'), ('ring', 1, 'channel/ring channel'), ('mq', 1, 'channel/mq channel'), ('call', 2, 'channel/call channel'), ('channel', 1, 'channel'), ('sync_place', .5, 'sync'), ('sync_edge', .1, 'sync participant'), ('event_fd', .4, 'sync/event_fd.c sync/event.c sync/watcher.c')):
        k.append(Killer(name, f'test/unit/test_{name}', [], seconds, sees))
    for names, seconds, sees in (('mutex', 2.3, slow), ('section', 4, 'participant sync/mutex'), ('heap', 2.5, 'heap participant/recover.c'),
                                 ('list', .6, 'collection/list.c'), ('thread', .4, 'participant'), ('name', .9, 'name'),
                                 ('map', 3, 'collection/map heap'), ('realloc', 5, 'heap/realloc.c'), ('vector', 8, 'collection/vector.c'), ('bytes', 4, 'collection/bytes.c'),
                                 ('queue', 6, 'collection/queue.c'), ('tree', 8, 'collection/tree'), ('rwlock', 5.4, 'sync/rwlock.c sync/slots.c sync/wait.c'),
                                 ('condition', .3, 'sync/condition.c'), ('semaphore', .3, 'sync/semaphore.c'), ('held', .6, 'sync/held.c sync/slots.c'),
                                 ('barrier', .4, 'sync/barrier.c sync/slots.c'), ('once', .2, 'sync/once.c'), ('event', .3, 'sync/event.c sync/event_fd.c'), ('topic', 3, 'channel/topic channel/channel.c'), ('ring', 3, 'channel/ring channel/channel.c'), ('mq', 3, 'channel/mq channel/channel.c'), ('call', 3, 'channel/call channel/channel.c'),
                                 ('wait', .2, 'sync/wait_any.c sync/event.c sync/semaphore.c'), ('objects', .2, 'sync')):
        k.append(Killer(f'crashlab {names}', 'test/crash/crashlab', ['--images', '2', '--kills', '1', names], seconds, sees))
    k.append(Killer('crashlab, more', 'test/crash/crashlab', ['--images', '12', '--kills', '2'], 30, 'participant sync heap collection name'))
    k.append(Killer('failing', 'test/crash/failing', [], 9, 'heap segment/grow.c participant/log.c collection/map name'))
    for name, operations in (('one step', ['allocate', 'free own', "free others'", 'retire own', 'replace', 'drop', 'runs']),
                             ('more', ['retire runs', 'section commits', 'section aborts', 'reap', 'adopt', 'leave', 'other sizes', 'runs change in place'])):
        k.append(Killer(f'heap_kill, {name}', 'test/unit/test_heap_kill', operations, 7, 'heap'))
    k.append(Killer('heap_kill', 'test/unit/test_heap_kill', [], 41, 'heap'))
    for name, seconds, sees in (('participant', 2, 'participant'), ('heap_multi', 1, 'heap'), ('map_multi', 7, 'collection/map'), ('tree_multi', 7, 'collection/tree'),
                                ('promises', .4, 'participant'), ('bounded', 17, 'heap'), ('file', 18, 'participant/recover.c participant/claim.c'), ('sync', 2, 'sync participant'), ('topic_multi', 2, 'channel/topic channel'), ('ring_multi', 4, 'channel/ring'), ('mq_multi', 4, 'channel/mq'), ('call_multi', 4, 'channel/call channel')):
        k.append(Killer(name, f'test/multi/test_{name}', [], seconds, sees))
    k.append(Killer('threads', 'test/concurrency/test_threads', [], .2, 'sync participant heap collection'))
    for name, seconds, sees in (('review', .4, 'participant sync'), ('topic_points', 2, 'channel/topic channel'), ('ring_kill', 2, 'channel/ring'), ('mq_points', 4, 'channel/mq'), ('mq_deaths', 4, 'channel/mq'), ('channel_looks', .1, 'channel'), ('channel_sleeps', .1, 'channel'), ('call_points', 4, 'channel/call channel'), ('sync_points', .1, 'sync participant/epoch.c'), ('ending', 2, 'participant'),
                                ('tenure', 4, 'participant/recover.c participant/claim.c'), ('why', .3, 'participant/event.c participant/claim.c participant/recover.c'), ('wake', 25, slow)):
        k.append(Killer(name, f'test/kill/test_{name}', [], seconds, sees))
    for points in ('', '_points'):
        k.append(Killer(f'hammer_mutex{points}', f'test/kill/hammer_mutex{points}', ['4', '2', '4', '7'], 4, slow))
        k.append(Killer(f'hammer_sync{points}', f'test/kill/hammer_sync{points}', ['6', '8', '7'], 8, 'sync participant'))
    return k + explored()


def explored():
    """The explorer's cases, each a killer: it has store buffers of its own, so it is what tso mutants meet first."""
    mutex = 'sync/mutex sync/wait.c sync/slots.c sync/sync.h participant'
    sees = {'mutex': mutex, 'section': mutex, 'record': 'participant/claim.c participant/self.c',
            'recovery': 'participant/recover.c participant/claim.c', 'heap': 'heap participant/epoch.c', 'list': 'collection/list.c',
            'map': 'collection/map', 'vector': 'collection/vector.c', 'bytes': 'collection/bytes.c', 'queue': 'collection/queue.c', 'stack': 'collection/queue.c',
            'tree': 'collection/tree', 'resize': 'heap/realloc.c', 'run': 'heap/realloc.c heap/span.c', 'name': 'name', 'grace': 'participant/epoch.c participant/participant.h', 'rwlock': 'sync/rwlock.c sync/mutex sync/wait.c sync/slots.c',
            'topic': 'channel/topic channel', 'ring': 'channel/ring channel/wait.c', 'mq': 'channel/mq channel/wait.c', 'call': 'channel/call channel/wait.c',
            'wait for any': 'sync/wait_any.c sync/semaphore.c sync/event.c'}
    sees['circle'] = 'sync/wait.c'
    sees |= {name: f'sync/{name}.c sync/wait.c' for name in ('condition', 'semaphore', 'event', 'held', 'once', 'barrier')}
    out = []
    for file in sorted((TOP / 'test/explore').glob('case_*.c')):
        for name, people, flags in re.findall(r'^    \{"([^"]+)", (\d), \d, \d, ([^,]+),', file.read_text(), re.M):
            first = name.split(',')[0]
            about = sees.get(first, sees.get(file.stem[len('case_'):], '-'))
            if 'SOAK' not in flags:
                seconds = next((s for n, s in SLOW.items() if name.startswith(n)), .5 if people == '2' else 1)
                out.append(Killer(f'explorer: {name}', 'test/explore/explorer', [name], seconds, about))
                if people == '2' and first in ('mutex', 'retire under a reader'):
                    out.append(Killer(f'explorer, deeper: {name}', 'test/explore/explorer', ['--preemptions', '4', name], 4, about))
    return out


def in_order(mutant, ks, cost, killed_before):
    """Those tried on a mutant: what killed it, or another of its function, before; what names its file; what names its floor; any other that is quick. Among these
    the quick before the slow."""
    def rank(k):
        explorer = k.name.startswith('explorer')
        words = k.sees.split()
        level = 0 if mutant.file in words else 1 if any(mutant.file.startswith(w) for w in words) else 2
        if level == 2 and not (k.seconds < 8 and mutant.tso if explorer else k.seconds < QUICK):
            return None
        # what only store buffers show, the explorer shows first
        return k.name not in killed_before, mutant.tso and not explorer, level, cost(k)
    return sorted((k for k in ks if rank(k)), key=rank)


# ---- sums: what a result holds for ----

def sum_of(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p if isinstance(p, bytes) else str(p).encode())
        h.update(b'\0')
    return h.hexdigest()[:24]


def files_sum(paths):
    return sum_of(*[x for p in sorted(paths) for x in (p.relative_to(TOP), p.read_bytes())])


def sources_sum():
    return files_sum([p for d in ('src', 'include') for p in (TOP / d).rglob('*') if p.is_file()])


def killer_sum(k):
    directory = TOP / os.path.dirname(k.target)
    stem = os.path.basename(k.target)
    files = list(directory.glob('*.[ch]'))
    if stem == 'explorer':  # of the cases, those in the file of this one
        own = [p for p in files if not p.name.startswith('case_') or f'{{"{k.args[-1]}",' in p.read_text()]
    else:
        own = [p for p in files if stem == 'crashlab' or p.stem in (stem, stem.removesuffix('_points'))]
    if stem == 'crashlab' and not any(f'{{"{k.args[-1]}' in p.read_text() for p in own) and not k.args[-1].isdigit():
        sys.exit(f'{k.name}: no operation is named so')
    if not own:  # it is called otherwise than its source, or is built of another directory's
        named = re.search(rf"executable\('{stem}', '([^']+\.c)'", (directory / 'meson.build').read_text())
        own = [(directory / named[1]).resolve()] if named else []
    if not own or not all(p.is_file() for p in own):
        sys.exit(f'{k.name}: no source of {k.target} is found')
    return sum_of(files_sum(own + list((TOP / 'test').glob('*.h')) + list(directory.glob('*.h'))), *k.args)


class Cache:
    """A line a result: {key, killed}, or {key, code} of what the compiler made of a mutant."""

    def __init__(self, path):
        self.path, self.known, self.lock = path, {}, threading.Lock()
        self.killer = {}  # of a mutant's name: what killed it last, whatever the sources were: tried first
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    e = json.loads(line)
                except ValueError:  # cut short by a kill
                    continue
                self.known[e['key']] = e['value']
                if e['value'] == 'killed':
                    name, killer = e['text'].split(': ', 1)
                    self.killer[name] = killer.removesuffix(' fails').removesuffix(' hangs')

    def put(self, key, value, text):
        with self.lock:
            self.known[key] = value
            with self.path.open('a') as f:
                f.write(json.dumps({'key': key, 'value': value, 'text': text}) + '\n')


# ---- excuses ----

def excuses(all_mutants):
    """{name: reason}. A line is `name mark: reason`; # begins a comment. Exits where one fits no mutant."""
    by_name, out, wrong = {m.name: m for m in all_mutants}, {}, []
    for number, line in enumerate(EXCUSED.read_text().splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        match = re.fullmatch(r'(\S+) ([0-9a-f]{6}): (\S.*)', line)
        if not match:
            wrong.append(f'line {number} is not `name mark: reason`')
        elif match[1] not in by_name:
            wrong.append(f'{match[1]}: no such mutant any more')
        elif by_name[match[1]].mark != match[2]:
            wrong.append(f'{match[1]}: another fault has this name now, {by_name[match[1]].mark}: {by_name[match[1]].what[:100]}')
        elif match[1] in out:
            wrong.append(f'{match[1]}: excused twice')
        else:
            out[match[1]] = match[3]
    if wrong:
        sys.exit('\n'.join(f'test/mutants/excused.txt: {w}' for w in wrong))
    return out


# ---- one worker: a copy of the tree, and a build of it ----

def contained():
    """The beginning of a command in which a test has its own processes, /dev/shm and /tmp, so that one that hangs leaves nothing; [] if
    that is not allowed here."""
    script = 'mount -t tmpfs -o size=2g tmpfs /dev/shm && mount -t tmpfs -o size=2g tmpfs /tmp && { "$@"; exit $?; }'
    for more in ([], ['--user', '--map-root-user']):
        command = ['unshare', *more, '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script, 'sh']
        try:
            if subprocess.run([*command, 'true'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return command
        except OSError:
            pass
    return []


def limits():
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))  # private memory; segments have limits of their own
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Worker:
    def __init__(self, directory, container):
        self.tree, self.build, self.container = directory / 'tree', directory / 'build', container
        self.child = None  # what it called last
        self.tree.mkdir(parents=True, exist_ok=True)
        self.refresh()
        if not (self.build / 'build.ninja').exists():
            self.call(['meson', 'setup', '-Dwerror=false', str(self.build), str(self.tree)], 600, must=True)

    def refresh(self):
        """The tree is as the source: only what differs is written, so that ninja builds only that."""
        wanted = {}
        for name in COPIED:
            p = TOP / name
            for f in [p] if p.is_file() else [f for f in p.rglob('*') if f.is_file() and '__pycache__' not in f.parts]:
                wanted[f.relative_to(TOP)] = f
        for f in self.tree.rglob('*'):
            if f.is_file() and f.relative_to(self.tree) not in wanted:
                f.unlink()
        for name, f in wanted.items():
            to = self.tree / name
            if not to.exists() or to.read_bytes() != f.read_bytes():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(f, to)
                os.utime(to)

    def call(self, command, seconds, must=False, contained_here=False):
        """(status, output); a status of None: it did not end."""
        command = [*self.container, *command] if contained_here else command
        with subprocess.Popen(command, cwd=self.tree.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              preexec_fn=limits) as p:
            self.child = p.pid
            try:
                out, _ = p.communicate(timeout=seconds)
                status = p.returncode
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.child = None
            if status is None:
                out, _ = p.communicate()
        text = out.decode(errors='replace')
        if must and status != 0:
            sys.exit(f'{" ".join(command)}: failed\n{text[-3000:]}')
        return status, text

    def ninja(self, *targets):
        return self.call(['ninja', '-j1', '-C', str(self.build), *targets], 1200)

    def code(self):
        """A sum over the machine code of the library's objects."""
        sums = []
        for o in sorted(self.build.glob('src/libtarn*.p/*.o')):
            key = (o.name, o.stat().st_mtime_ns)
            if key not in self.objects:
                bare = self.tree.parent / 'bare.o'
                subprocess.run(['objcopy', '--strip-debug', str(o), str(bare)], check=True)
                self.objects[key] = sum_of(bare.read_bytes())
            sums.append(self.objects[key])
        return sum_of(*sums)

    objects = {}

    def run(self, k, seconds):
        return self.call([str(self.build / k.target), *k.args], seconds, contained_here=True)


def not_copied(build_text):
    """Directories that the top meson.build asks for, and a worker's tree has not: it could not be built. What stands under `if fs.exists` may lack."""
    wanted = re.findall(r"(?<!meson\.build'\)\n)^[ \t]*subdir\('([^']+)'\)", build_text, re.M)
    return [d for d in wanted if not any(d == c or d.startswith(c + '/') for c in COPIED)]


# ---- the whole ----

class Run:
    def __init__(self, args, everything, excused):
        self.args, self.excused = args, excused
        self.dir = TOP / 'build/mutants'
        self.dir.mkdir(parents=True, exist_ok=True)
        self.alone = (self.dir / 'lock').open('w')
        try:
            fcntl.flock(self.alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit('another ./dev mutants is at work in build/mutants')
        self.cache = Cache(self.dir / 'results.jsonl')
        self.killers = killers()
        self.killer_sums = {k.name: killer_sum(k) for k in self.killers}
        self.sources = sources_sum()
        self.everything, self.lock, self.seconds = everything, threading.Lock(), {}
        self.workers, self.outcome, self.planted, self.survived, self.begun, self.started = [], {}, 0, 0, 0, time.time()
        self.code = self.unsound = None
        self.asking = {k.name: threading.Lock() for k in self.killers}
        self.killed_before = collections.defaultdict(set)  # by file and function

    def say(self, text):
        with self.lock:
            print(text, file=sys.stderr, flush=True)

    def build(self, workers, chosen):
        """All that may be asked, of the source as it is. The programs are kept, for is_sound."""
        names = {k.name for m in chosen for k in in_order(m, self.killers, lambda k: k.seconds, ())}
        self.killers = [k for k in self.killers if k.name in names and not (self.args.cost and k.seconds > self.args.cost)]
        targets = sorted({k.target for k in self.killers})
        others = [threading.Thread(target=w.ninja, args=targets) for w in workers[1:]]
        for o in others:
            o.start()
        status, out = workers[0].ninja(*targets)
        for o in others:
            o.join()
        if status:
            sys.exit(f'the tests do not build:\n{out[-3000:]}')
        self.code = workers[0].code()
        for target in targets:
            kept = self.dir / 'source' / target
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(workers[0].build / target, kept)
        self.seconds = {k.name: self.cache.known[key] for k in self.killers if (key := self.source_key(k)) in self.cache.known}

    def source_key(self, k):
        return sum_of('baseline', self.sources, self.killer_sums[k.name])

    def is_sound(self, worker, k):
        """Does it pass on the source itself? Else it proves nothing. Asked when it has failed for the first time."""
        with self.asking[k.name]:
            key = self.source_key(k)
            if key not in self.cache.known:
                began = time.time()
                status, out = worker.call([str(self.dir / 'source' / k.target), *k.args], 600, contained_here=True)
                if status != 0:
                    self.unsound = f'{k.name} fails on the library as it is:\n{out[-3000:]}'
                    return False
                self.cache.put(key, round(time.time() - began, 2), f'{k.name} on the source')
        return True

    def limit(self, k):
        if k.target.endswith(('explorer', 'crashlab')):  # they use a processor, of which they may get little; a wait without end they see themselves
            return max(120, 30 * self.cost(k))
        return max(30, 8 * self.cost(k))

    def cost(self, k):
        return max(k.seconds, self.seconds.get(k.name, 0))

    def key(self, m, k):
        return sum_of(self.sources, m.name, m.mark, self.killer_sums[k.name])

    def ask(self, worker, m, k):
        """'passed', 'killed by ...', 'invalid', 'unsound'"""
        status, _ = worker.ninja(k.target)
        if status:
            return 'invalid'
        status, out = worker.run(k, self.limit(k))
        if status and not k.target.endswith(('explorer', 'crashlab')):  # where threads run as they like, on a busy machine: best of three
            again = [worker.run(k, self.limit(k))[0]]
            again += [] if again[0] != 0 else [worker.run(k, self.limit(k))[0]]
            status = status if any(a != 0 for a in again) else 0
            if status == 0:
                self.say(f'{m.name}: {k.name} failed once in three times, which does not count:\n{out[-600:]}')
        if status != 0 and not self.is_sound(worker, k):
            return 'unsound'
        how = 'passes' if status == 0 else 'hangs' if status is None else 'fails'
        self.cache.put(self.key(m, k), 'passed' if status == 0 else 'killed', f'{m.name}: {k.name} {how}')
        if status == 0:
            return 'passed'
        self.killed_before[m.file, m.function].add(k.name)
        return f'killed by {k.name}' + (' (hangs)' if status is None else '')

    def try_one(self, worker, m):
        """'same', 'invalid', 'survived', or 'killed by ...'"""
        before = self.killed_before[m.file, m.function]
        order = in_order(m, self.killers, self.cost, {self.cache.killer.get(m.name)} if m.name in self.cache.killer else before)
        for k in order:
            if self.cache.known.get(self.key(m, k)) == 'killed':
                return f'killed by {k.name}'
        shape = sum_of('code', self.sources, m.name, m.mark)
        if self.cache.known.get(shape) in ('same', 'invalid'):
            return self.cache.known[shape]
        order = [k for k in order if self.key(m, k) not in self.cache.known and not (self.args.cost and self.cost(k) > self.args.cost)]
        if not order:
            return 'survived'
        path = worker.tree / 'src' / m.file
        text = path.read_text()
        try:
            path.write_text(m.apply(text))
            if order[0].name == self.cache.killer.get(m.name):  # most likely it does it again: then the library itself need not be built
                outcome = self.ask(worker, m, order[0])
                if outcome != 'passed':
                    return outcome
                order = order[1:]
            status, _ = worker.ninja('src/libtarn.a')
            value = 'invalid' if status else 'same' if worker.code() == self.code else 'other'
            self.cache.put(shape, value, m.name)
            if value != 'other':
                return value
            for k in order:
                outcome = self.ask(worker, m, k)
                if outcome != 'passed':
                    return outcome
            return 'survived'
        finally:
            path.write_text(text)

    def work(self, worker, queue, most):
        while True:
            with self.lock:
                if self.unsound or not queue or (most and self.planted + self.begun >= most):
                    # what is under way may turn out not to be planted: the one who finds that goes on
                    return
                m = queue.popleft()
                self.begun += 1
            outcome = 'excused' if m.name in self.excused and not self.args.try_excused else self.try_one(worker, m)
            with self.lock:
                self.begun -= 1
                self.outcome[m.name] = (m, outcome)
                self.planted += outcome not in ('same', 'invalid')
                self.survived += outcome == 'survived'
                count = f'{self.planted}/{most or len(self.outcome) + len(queue) + self.begun}'
                if self.survived:
                    count += f', {self.survived} survived'
            self.say(f'{time.time() - self.started:6.0f} s  {count}  {m.name}: {outcome}{"" if outcome != "survived" else "   " + m.what[:120]}')

    def go(self, chosen, most):
        container = contained()
        self.workers = workers = [Worker(self.dir / f'w{i}', container) for i in range(self.args.jobs)]
        self.build(workers, chosen[:most * 2] if most else chosen)
        queue = collections.deque(chosen)
        pool = concurrent.futures.ThreadPoolExecutor(len(workers))  # without `with`: who stops it does not wait
        for f in [pool.submit(self.work, w, queue, most) for w in workers]:
            f.result()
        if self.unsound:
            sys.exit(self.unsound)

    def report(self):
        by = collections.defaultdict(list)
        for m, outcome in self.outcome.values():
            by[outcome.split()[0]].append(m)
        wrong = [m for m in by['killed'] if m.name in self.excused]
        planted = [m for word in ('killed', 'survived', 'excused') for m in by[word]]
        for kind in mutation.KINDS:
            n = {word: sum(m.kind == kind for m in by[word]) for word in ('killed', 'survived', 'excused')}
            if any(n.values()):
                print(f'{kind:8} killed {n["killed"]:4d}  survived {n["survived"]:3d}  excused {n["excused"]:3d}')
        by_killer = collections.Counter(o[len('killed by '):].replace(' (hangs)', '') for _, o in self.outcome.values() if o.startswith('killed'))
        print('killers: ' + ', '.join(f'{name} {n}' for name, n in by_killer.most_common()))
        if by['survived'] and self.args.cost:
            print(f'survived so far: tests of more than {self.args.cost} seconds were not tried (--cost)')
        for m in by['survived']:
            print(f'survived: {m.name} {m.mark}  src/{m.file}:{m.line}: {m.what[:160]}')
        for m in wrong:
            print(f'excused, and yet killed: {m.name}: take the excuse away')
        print(f'not planted: {len(by["same"])} of the same machine code, {len(by["invalid"])} that do not build; candidates in all: '
              f'{len(self.everything)}')
        print(f'MUTANTS planted={len(planted)} killed={len(by["killed"])} survived={len(by["survived"])} excused={len(by["excused"])} '
              f'tso={sum(m.tso for m in by["killed"])}')
        return 1 if by['survived'] or wrong else 0


def sampled(all_mutants, seed):
    """All, in the order in which a sample takes them: the kinds in turn, and of each a mutant of a file of which the fewest were taken, so that no file is
    forgotten; among these by a sum over seed and name."""
    rank = {m.name: hashlib.sha256(f'{seed} {m.name}'.encode()).digest() for m in all_mutants}
    left = {kind: [m for m in all_mutants if m.kind == kind and not m.tso] for kind in mutation.KINDS}
    out = sorted((m for m in all_mutants if m.tso), key=lambda m: rank[m.name])
    taken = collections.Counter(m.file for m in out)
    while any(left.values()):
        for kind in TURNS:
            if left[kind]:
                m = min(left[kind], key=lambda m: (taken[m.file], rank[m.name]))
                left[kind].remove(m)
                taken[m.file] += 1
                out.append(m)
    return out


def main():
    p = argparse.ArgumentParser(prog='dev mutants', description=__doc__.split('\n')[0],
                                epilog='Without arguments: the sample of 80. It takes about an hour the first time, and is quick after that.')
    p.add_argument('--list', action='store_true', help='say which mutants there are, and plant none')
    p.add_argument('--check', action='store_true', help='only: are there enough, does every excuse fit one, is all there that planting needs?')
    p.add_argument('--only', metavar='PATTERN', action='append', help='only those whose name has this in it (*, ? as in the shell); again for more')
    p.add_argument('--sample', metavar='N', type=int, help='so many, all tso among them (80 without --only and --all)')
    p.add_argument('--seed', type=int, default=SEED, help='which ones a sample takes')
    p.add_argument('--all', action='store_true', help='all there are: some hours')
    p.add_argument('--try-excused', action='store_true', help='plant the excused too: one that is killed needs no excuse, and is an error')
    p.add_argument('--show', action='store_true', help='with --list: what each changes')
    p.add_argument('--cost', metavar='S', type=float, help='a first look: only by tests of so many seconds, or fewer')
    p.add_argument('--jobs', '-j', type=int, default=2, help='at a time (2)')
    args = p.parse_args()
    everything = mutation.mutants(TOP)
    excused = excuses(everything)
    tso = sum(m.tso for m in everything)
    if len(everything) < LEAST or tso < LEAST_TSO:
        sys.exit(f'only {len(everything)} mutants, {tso} of them tso: the finder finds too little')
    chosen = sampled(everything, args.seed)
    if (args.only or args.all) and not args.sample:  # file by file: less is built
        chosen = sorted(chosen, key=everything.index)
    if args.only:
        chosen = [m for m in chosen if any(fnmatch.fnmatchcase(m.name, f'*{o}*') for o in args.only)]
        if not chosen:
            sys.exit(f'no mutant is named like {" or ".join(args.only)}')
    if args.check:  # what would stop a call that plants
        for k in killers():
            killer_sum(k)
        missing = not_copied((TOP / 'meson.build').read_text())
        if missing:
            sys.exit(f'meson.build has {", ".join(missing)}, which COPIED has not')
    if args.list or args.check:
        for m in sorted(chosen, key=everything.index) if args.list else []:
            print(f'{m.name} {m.mark}{" tso" if m.tso else ""}{" excused" if m.name in excused else ""}'
                  + (f'\n    src/{m.file}:{m.line}: {m.what}' if args.show else ''))
        print(f'{len(chosen)} mutants, {sum(m.tso for m in chosen)} of them tso, {sum(m.name in excused for m in chosen)} excused')
        return 0
    most = args.sample or (0 if args.only or args.all else 80)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = Run(args, everything, excused)
    try:
        run.go(chosen, most)
    except KeyboardInterrupt:
        run.say('stopped; call again to go on')
        for w in run.workers:
            if w.child:
                with contextlib.suppress(OSError):
                    os.killpg(w.child, signal.SIGKILL)
        run.report()
        sys.stdout.flush()
        os._exit(130)
    return run.report()


if __name__ == '__main__':
    sys.exit(main())
