#!/usr/bin/env python3
"""tarn metrics: what is measured, by a strict reader of Prometheus' text format. usage: test_metrics.py TARN HOLDER LOCKER TOP [unittest arguments]"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unittest

import machine
from machine import NOBODY

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
LOCKER = os.path.abspath(sys.argv[3])
TOP = pathlib.Path(sys.argv[4])
CASES = sys.argv[5:]
ME = os.getpid()

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
HELP = re.compile(rf'# HELP ({NAME}) (.+)')
TYPE = re.compile(rf'# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)')
SAMPLE = re.compile(rf'({NAME})(\{{.*\}})? ([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|NaN|[+-]Inf)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\})')


def read_labels(text):
    labels, at = {}, 1
    while at < len(text):
        m = LABEL.match(text, at)
        if not m:
            raise ValueError(f'no label: {text[at:]!r}')
        if m[1] in labels or m[1].startswith('__'):
            raise ValueError(f'label {m[1]} twice, or reserved')
        labels[m[1]] = re.sub(r'\\(.)', lambda e: {'n': '\n'}.get(e[1], e[1]), m[2])
        at = m.end()
        if (m[3] == '}') != (at == len(text)):
            raise ValueError(f'labels end at {text[at:]!r}')
    return frozenset(labels.items())


def read_metrics(data):
    """{name: {labels: value}} of the text format, version 0.0.4, as exporters should write it: bytes of UTF-8 whose lines all end; of each metric HELP, TYPE and samples in
    one group, no sample twice, counters' names with _total. Anything else is an error."""
    text = data.decode('utf-8')
    if not text.endswith('\n'):
        raise ValueError('the last line has no end')
    found, types, now = {}, {}, None
    helped = None
    for line in text[:-1].split('\n'):
        if m := HELP.fullmatch(line):
            if m[1] in found or '\\' in m[2]:
                raise ValueError(f'{m[1]}: another group')
            now, helped = None, m[1]
        elif m := TYPE.fullmatch(line):
            if m[1] != helped or m[1] in types:
                raise ValueError(f'{line}: without its HELP, or twice')
            now, types[now], found[now] = m[1], m[2], {}
            if (m[2] == 'counter') != m[1].endswith('_total'):
                raise ValueError(f'{m[1]} is no name for a {m[2]}')
        elif m := SAMPLE.fullmatch(line):
            if m[1] != now:
                raise ValueError(f'{line}: not in its group')
            labels = read_labels(m[2]) if m[2] else frozenset()
            if labels in found[now]:
                raise ValueError(f'{line}: twice')
            found[now][labels] = float(m[3])
        else:
            raise ValueError(f'{line!r} is no line of the format')
    if any(not samples for samples in found.values()):
        raise ValueError('a metric without samples')
    return found


class Reader(unittest.TestCase):
    """The reader refuses what is wrong: else it proves nothing."""
    GOOD = b'# HELP a_total x\n# TYPE a_total counter\na_total{b="c\\\\\\"\\n",d=""} 1\na_total 2\n# HELP e x\n# TYPE e gauge\ne 1.5\n'

    def test_good(self):
        self.assertEqual(read_metrics(self.GOOD), {'a_total': {frozenset({('b', 'c\\"\n'), ('d', '')}): 1, frozenset(): 2}, 'e': {frozenset(): 1.5}})

    def test_bad(self):
        for good, bad in ((b'e 1.5\n', b'e 1.5'), (b'e 1.5', b'e 1,5'), (b'e 1.5', b'f 1.5'), (b'e 1.5\n', b'e 1.5\ne 2\n'), (b'e 1.5\n', b''), (b'e 1.5\n', b'e 1.5\na_total{x="y"} 1\n'),
                          (b'# TYPE e gauge\n', b''), (b'# TYPE e gauge', b'# TYPE e gouge'), (b'# HELP e x\n', b''), (b'd=""', b'b=""'), (b'd=""', b'd="\\x"'), (b'd=""', b'd="""'),
                          (b'd=""', b'd=" '), (b'd=""', b'1="\n"'), (b'd=""', b'd="\n"'), (b'd=""', b'd="\xff"'), (b'a_total', b'a'), (b'd=""}', b'd=""'), (b'\n', b'\n\n'), (b' 1\n', b' -\n')):
            with self.assertRaises(ValueError, msg=(good, bad)):
                read_metrics(self.GOOD.replace(good, bad))


class Case(machine.Case):
    URL = 'posix:/desk'

    def setUp(self):
        super().setUp()
        self.ours()

    def metrics(self, *arguments, **options):
        return read_metrics(self.tarn('metrics', *arguments, **options).encode())

    @staticmethod
    def value(found, name, **labels):
        """Of the only sample with these labels."""
        values = [v for key, v in found.get(name, {}).items() if labels.items() <= dict(key).items()]
        if len(values) != 1:
            raise AssertionError(f'{name} {labels}: {values}')
        return values[0]

    def person(self, url=URL):
        p = subprocess.Popen([LOCKER, url], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        self.assertEqual(p.stdout.readline(), b'ready\n')
        return p

    def do(self, p, order, wait=True):
        p.stdin.write(order.encode() + b'\n')
        p.stdin.flush()
        return int(p.stdout.readline()) if wait else None


class Machine(Case):
    def as_listed(self):
        """The posix objects as tarn ls has them, before and after."""
        before, m, after = self.ls('--kind', 'posix'), self.metrics(), self.ls('--kind', 'posix')
        if before != after:  # another test's, of another mount namespace, came or went
            return None
        told = [self.value(m, f'tarn_objects{n}', kind='posix') for n in ('', '_bytes', '_resident_bytes')]
        self.assertEqual(told, [len(after), sum(o['size'] for o in after), sum(o['res'] or 0 for o in after)])
        return told

    def test_objects(self):
        self.memfd(f'metrics {ME}', 1 << 20, touch=4096)
        self.sysv(0x79000000 | ME, 100000)
        (self.dir / 'plain').write_bytes(b'x' * 12345)
        told = self.until(self.as_listed, 'nothing comes or goes')
        self.assertGreaterEqual(told[0], 1)
        self.assertGreaterEqual(told[1], 12345)
        m = self.metrics()
        for kind in ('memfd', 'sysv'):  # others come and go
            self.assertGreaterEqual(self.value(m, 'tarn_objects', kind=kind), 1)
        self.assertGreaterEqual(self.value(m, 'tarn_objects_bytes', kind='memfd'), 1 << 20)
        self.assertGreaterEqual(self.value(m, 'tarn_objects_resident_bytes', kind='memfd'), 4096)
        self.assertGreaterEqual(self.value(m, 'tarn_objects_bytes', kind='sysv'), 100000)
        self.assertGreaterEqual(self.value(m, 'tarn_sysv_segments'), 1)
        self.assertGreaterEqual(self.value(m, 'tarn_sysv_pages'), 25)

    def test_limits(self):
        m = self.metrics()
        for name, file in (('tarn_sysv_segments_limit', 'shmmni'), ('tarn_sysv_pages_limit', 'shmall'), ('tarn_sysv_segment_limit_bytes', 'shmmax')):
            self.assertEqual(self.value(m, name), float(pathlib.Path(f'/proc/sys/kernel/{file}').read_text()))
        s = os.statvfs('/dev/shm')
        self.assertEqual(self.value(m, 'tarn_tmpfs_size_bytes', mountpoint='/dev/shm'), s.f_blocks * s.f_frsize)
        self.assertLessEqual(self.value(m, 'tarn_tmpfs_used_bytes', mountpoint='/dev/shm'), s.f_blocks * s.f_frsize)
        self.assertEqual(self.value(m, 'tarn_tmpfs_files_limit', mountpoint='/dev/shm'), s.f_files)
        self.assertGreaterEqual(self.value(m, 'tarn_unread_processes'), 0)


    def test_mounts(self):
        """A tmpfs that is mounted twice is told once; one that another covers is not told."""
        if os.getuid() != 0:
            self.skipTest('only root may mount')
        script = ('cd "$0" && mkdir a b c && mount -t tmpfs -o size=2m one a && mount --bind a b && mount -t tmpfs -o size=3m two c && '
                  'mount -t tmpfs -o size=1m three c || exit 77; exec "$@"')
        r = subprocess.run(['unshare', '--mount', 'sh', '-c', script, str(self.dir), self.TARN, 'metrics'], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        if r.returncode == 77 or b'unshare' in r.stderr:
            self.skipTest('no mount namespaces may be made here')
        sizes = {dict(k)['mountpoint']: v for k, v in read_metrics(r.stdout)['tarn_tmpfs_size_bytes'].items()}
        self.assertEqual([sizes.get(f'{self.dir}/{n}') for n in 'abc'], [2 << 20, None, 1 << 20])


class Segments(Case):
    def segment(self, m, name, **labels):
        return self.value(m, f'tarn_segment_{name}', segment=self.URL, **labels)

    def test_a_segment(self):
        one, two = self.person(), self.person()
        for order in ('mutex 0', 'mutex 1', 'read 0', 'set 4', 'take 2'):
            self.assertEqual(self.do(one, order), 0)
        self.assertEqual(self.do(two, 'mutex 2'), 0)
        self.do(two, 'mutex 0', wait=False)
        m = self.until(lambda: (lambda m: m if self.segment(m, 'waiting_participants') else None)(self.metrics(self.URL)), 'the second waits')
        info = json.loads(self.tarn('info', '-J', self.URL))
        self.assertEqual([self.segment(m, n) for n in ('up', 'participants', 'dead_participants', 'stopped_participants', 'waiting_participants', 'wait_circles',
                                                       'recoveries_total', 'sections_undone_total')], [1, 2, 0, 0, 1, 0, 0, 0])
        self.assertEqual([self.segment(m, 'locks_held', kind=k) for k in ('mutex', 'inner', 'read', 'write', 'units', 'member')], [3, 0, 1, 0, 1, 0])
        for told, said in (('limit_bytes', 'growth'), ('committed_bytes', 'committed'), ('allocated_bytes', 'allocated'), ('free_bytes', 'free'), ('limbo_bytes', 'limbo')):
            self.assertEqual(self.segment(m, told), info['memory'][said], told)
        self.assertEqual(self.segment(m, 'created_timestamp_seconds'), info['segment']['created'])
        self.assertEqual(self.segment(m, 'participants_limit'), 64)
        self.assertGreater(self.segment(m, 'allocated_bytes'), 0)
        one.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, one.pid, os.WSTOPPED | os.WNOWAIT)
        self.assertEqual(self.segment(self.metrics(self.URL), 'stopped_participants'), 1)
        one.kill()
        one.wait()
        self.assertEqual(int(two.stdout.readline()), 1)
        m = self.metrics(self.URL)
        self.assertEqual([self.segment(m, n) for n in ('participants', 'dead_participants', 'waiting_participants', 'recoveries_total')], [1, 0, 0, 1])
        two.kill()
        two.wait()
        self.assertEqual([self.segment(self.metrics(self.URL), n) for n in ('dead_participants', 'recoveries_total')], [1, 1])

    def test_circles(self):
        one, two = self.person(), self.person()
        self.do(one, 'mutex 0')
        self.do(two, 'mutex 1')
        self.do(one, 'mutex 1', wait=False)
        self.do(two, 'mutex 0', wait=False)
        self.until(lambda: self.segment(self.metrics(self.URL), 'wait_circles') == 1, 'a circle')

    def test_channels(self):
        self.env['HOLDER_CHANNELS'] = '1'
        self.hold(self.URL)
        subprocess.run([self.TARN, 'pub', self.URL, 'mq'], input=b'a\nb\nc\n', env=self.env, check=True, timeout=60)
        m = self.metrics(self.URL)
        self.assertEqual({dict(k)['channel']: dict(k)['kind'] for k in m['tarn_channel_capacity']}, {'ring': 'ring', 'ring2': 'ring', 'mq': 'mq', 'mq2': 'mq', 'call': 'call'})
        self.assertEqual([self.value(m, f'tarn_channel_{n}', channel='mq') for n in ('sent_total', 'received_total', 'messages', 'lost_total', 'receivers')], [3, 0, 3, 0, 0])
        self.assertEqual(self.value(m, 'tarn_channel_receivers', channel='call'), 1)

    def test_which(self):
        self.person()
        self.person('posix:/two')
        (self.dir / 'damaged').write_bytes((self.dir / 'two').read_bytes()[:64])
        m = self.metrics()
        up = {dict(k)['segment']: v for k, v in m['tarn_segment_up'].items()}
        self.assertEqual([up.get(f'posix:/{n}') for n in ('desk', 'two', 'damaged')], [1, 1, 0])
        self.assertIn('could not be looked into', self.err)
        names = {dict(k)['segment'] for k in self.metrics('posix:/two')['tarn_segment_up']}
        self.assertEqual(names, {'posix:/two'})
        m = self.metrics('posix:/damaged', self.URL, status=1)
        self.assertEqual({dict(k)['segment']: v for k, v in m['tarn_segment_up'].items()}, {'posix:/damaged': 0, self.URL: 1})
        self.tarn('metrics', 'posix:/none', status=1, says='there is none')

    def test_odd_names(self):
        """Of segments and channels; none breaks a line, and each is told as itself."""
        odd = 'a"b\\c\n\x1b}, {x="'
        self.person(f'posix:/{odd}')
        self.tarn('pub', '--create', f'posix:/{odd}', odd, input=b'x\n')
        (self.dir / os.fsdecode(b'\xff')).write_bytes((self.dir / odd).read_bytes())
        data = self.tarn('metrics').encode()
        m = read_metrics(data)
        self.assertNotIn(b'\x1b', data)
        shown = odd.replace('\n', '\\x0a').replace('\x1b', '\\x1b')
        self.assertEqual(self.value(m, 'tarn_segment_up', segment=f'posix:/{shown}'), 1)
        self.assertEqual(self.value(m, 'tarn_channel_sent_total', channel=shown, kind='topic', segment=f'posix:/{shown}'), 1)
        self.assertEqual(len([k for k in m['tarn_segment_up'] if dict(k)['segment'] == 'posix:/\\xff']), 1)

    def test_same_names(self):
        """Two memfds of one label are two, by their ids."""
        held = [self.hold('memfd:same', 'x') for _ in range(2)]
        m = self.metrics('memfd:same')
        self.assertEqual(list(m['tarn_segment_up'].values()), [1, 1])
        self.assertEqual(len({dict(k)['id'] for k in m['tarn_segment_up']}), 2)
        self.assertEqual(len(held), 2)


class Output(Case):
    def test_json(self):
        self.person()
        text = read_metrics(self.tarn('metrics', self.URL).encode())
        samples = self.json('metrics', self.URL)['samples']
        self.assertEqual({(s['metric'], frozenset(s['labels'].items())) for s in samples}, {(n, k) for n, of in text.items() for k in of})
        self.assertEqual({s['type'] for s in samples}, {'counter', 'gauge'})
        up, = [s for s in samples if s['metric'] == 'tarn_segment_up']
        self.assertEqual(up['value'], 1)

    def test_a_file(self):
        self.person()
        to = self.dir / 'out'
        to.mkdir()
        file = to / 'tarn.prom'
        self.assertEqual(self.tarn('metrics', '--output', str(file), self.URL), '')
        self.assertIn('tarn_segment_up', read_metrics(file.read_bytes()))
        self.assertEqual((file.stat().st_mode & 0o777, os.listdir(to)), (0o644, ['tarn.prom']))
        first = file.stat().st_ino
        with open(file, 'rb') as old:
            before = old.read()
            self.tarn('metrics', '--output', str(file))
            old.seek(0)
            self.assertEqual(old.read(), before)  # who reads the old one has it whole
        self.assertNotEqual(file.stat().st_ino, first)
        self.assertEqual(os.listdir(to), ['tarn.prom'])
        self.tarn('metrics', '--output', str(to / 'no' / 'x.prom'), status=1, says='x.prom')
        self.tarn('metrics', '-J', '--output', str(file), status=2)
        self.tarn('metrics', '--output', status=2)

    def test_no_room(self):
        """What cannot be written whole leaves the old one as it was, and nothing beside it."""
        if os.getuid() != 0:
            self.skipTest('only root may mount')
        script = ('mount -t tmpfs -o size=8k none "$1" && printf old > "$1/tarn.prom" && head -c 4096 /dev/zero > "$1/fill" || exit 77; shift; '
                  '"$@"; r=$?; cat "$0"/tarn.prom; ls -A "$0"; exit $r')
        to = self.dir / 'small'
        to.mkdir()
        r = subprocess.run(['unshare', '--mount', 'sh', '-c', script, str(to), str(to), self.TARN, 'metrics', '--output', str(to / 'tarn.prom')], env=self.env,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        if r.returncode in (1, 77) and b'unshare' in r.stderr or r.returncode == 77:
            self.skipTest('no mount namespaces may be made here')
        self.assertEqual((r.returncode, r.stdout), (3, b'oldfill\ntarn.prom\n'), r.stderr)

    def test_stopped_by_a_signal(self):
        """Meanwhile killed, at any time: the old one, or the new one, whole."""
        file = self.dir / 'tarn.prom'
        file.write_text('old')
        for k in range(12):
            p = subprocess.Popen([self.TARN, 'metrics', '--output', str(file)], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                p.wait(timeout=0.004 * k)
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGTERM if k % 2 else signal.SIGKILL)
            p.wait(timeout=60)
            if file.read_bytes() != b'old':
                read_metrics(file.read_bytes())

    def test_without_rights(self):
        if os.getuid() != 0:
            self.skipTest('only root may become nobody')
        self.dir.chmod(0o777)
        self.person()
        m = self.metrics(uid=NOBODY)
        self.assertGreater(self.value(m, 'tarn_unread_processes'), 0)

    def test_promtool(self):
        """The reader of Prometheus itself, where there is one."""
        if not shutil.which('promtool'):
            self.skipTest('no promtool here')
        self.person()
        r = subprocess.run(['promtool', 'check', 'metrics'], input=self.tarn('metrics').encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        self.assertEqual((r.returncode, r.stdout), (0, b''))

    def test_manual(self):
        """Each metric stands in the manual, and no other."""
        source = (TOP / 'tool' / 'cmd_metrics.c').read_text()
        told = set(re.findall(r'\{"(tarn_\w+)"', source))
        manual = set(re.findall(r'Li (tarn_\w+)', (TOP / 'man' / 'tarn-metrics.1').read_text()))
        self.assertGreater(len(told), 30)
        self.assertEqual(told, manual)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *CASES])
