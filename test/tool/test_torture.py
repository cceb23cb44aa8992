#!/usr/bin/env python3
"""tarn torture: a fault in a user's program is found, a good one passes, and whatever comes between. usage: test_torture.py TARN BANK TORTURED STATIC [unittest arguments]"""
import ctypes
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import unittest

import machine

machine.Case.TARN, BANK, TORTURED, STATIC = (os.path.abspath(p) for p in sys.argv[1:5])
CASES = sys.argv[5:]
URL = 'posix:/tortured'


def forbid_ptrace():
    """By a filter of system calls: 101 is -EPERM."""
    code = b''.join(struct.pack('HBBI', *op) for op in ((0x20, 0, 0, 0), (0x15, 0, 1, 101), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)))
    room = ctypes.create_string_buffer(code)
    program = struct.pack('HxxxxxxQ', len(code) // 8, ctypes.addressof(room))
    if machine.libc.prctl(38, 1, 0, 0, 0) or machine.libc.prctl(22, 2, program, 0, 0):
        os._exit(99)


class Case(machine.Case):
    def setUp(self):
        super().setUp()
        self.ours()
        self.env['ASAN_OPTIONS'] = 'detect_leaks=0'  # it wants to trace, and is traced
        self.env['PATH'] = os.path.dirname(self.TARN) + ':' + self.env['PATH']

    def torture(self, *arguments, status=0, says=None, **options):
        """Its stdout; stderr is in self.err. Afterwards there is no segment."""
        r = subprocess.run([self.TARN, 'torture', *arguments], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100, **options)
        self.err = r.stderr.decode()
        self.assertEqual(r.returncode, status, f'torture {arguments}: {r.stdout.decode()}{self.err}')
        if says:
            self.assertIn(says, self.err)
        elif status < 2 and '--verbose' not in arguments:
            self.assertEqual(self.err, '')
        return r.stdout.decode()

    def report(self, *arguments, **options):
        r = json.loads(self.torture('-J', *arguments, **options))
        self.assertEqual(r['deeds'] + r['missed'], r['points'])
        self.assertEqual(r['violations'] > 0, bool(r['found']))
        self.assertEqual(r['functions_covered'], len([f for f in r['functions'] if f['points']]))
        self.assertEqual(os.listdir(self.dir), [])
        return r

    @staticmethod
    def covered(report):
        return {f['name'] for f in report['functions'] if f['points']}


class Bank(Case):
    """The example."""
    CHECK = ('--check', f'{BANK} check posix:/bank')

    def test_the_fault_is_found(self):
        r = self.report('--outside', '--points', '30', '--random', '0', *self.CHECK, '--', BANK, 'unsafe', 'posix:/bank', status=1)
        first = r['found'][0]
        self.assertRegex(first['point'], r'^0(\.1)?:tarn_mutex_(lock|consistent):\d:return\+\d+$')  # in its own code, under the lock
        self.assertRegex(first['before'], r'^\w+\+0x[0-9a-f]+ \(bank')
        self.assertRegex(first['wrong'][0], r'^the check ended with status 1: -?\d+ \+ -?\d+ is -?\d+, and was 100$')
        events = [(e['event'], e['other_pid']) for e in first['why']['events']]
        self.assertIn(('recover', first['pid']), events)
        again = subprocess.run(first['repeat'], shell=True, env=self.env, stdout=subprocess.PIPE, timeout=100, check=False)
        text = again.stdout.decode()
        self.assertEqual(again.returncode, 1, text)
        self.assertIn(f'killed     {first["point"]}\n', text)
        self.assertIn(f'before     {first["before"]}\n', text)
        self.assertIn(f'wrong      {first["wrong"][0]}\n', text)
        self.assertRegex(text, r'(?s)What happened there, by tarn why:\n.*recovered 0x')
        self.assertRegex(text, r'\npoints 1, kills 1, checks 2, violations 1; functions covered \d of the \d')

        r = self.report('--exec', '--at', first['point'], *self.CHECK, '--', BANK, 'unsafe', 'posix:/bank', status=1)
        self.assertIn(f' --exec --at {first["point"]} -- ', r['found'][0]['repeat'])

    def test_lines_of_sources(self):
        if b'libdw' not in subprocess.run(['ldd', self.TARN], stdout=subprocess.PIPE, check=True).stdout:
            self.skipTest('built without libdw')
        text = self.torture('--check', 'test -z "$TARN_TORTURE_POINT"', '--at', '0:tarn_mutex_lock:2:entry', '--', BANK, 'unsafe', 'posix:/bank', status=1)
        self.assertRegex(text, r'before     tarn_mutex_lock\+0 \(libtarn.so.[0-9.]+, \S*mutex\S*\.c:\d+\)')
        line = [n for n, text in enumerate(self.source(), 1) if 'tarn_mutex_lock' in text and 'RECOVERED' in text]
        self.assertRegex(text, rf'called by  \w+\+0x[0-9a-f]+ \(bank, \S*bank.c:{line[0]}\)')

    @staticmethod
    def source():
        return (pathlib.Path(__file__).parents[2] / 'examples' / 'torture' / 'bank.c').read_text().splitlines()

    def test_with_a_section_it_passes(self):
        r = self.report('--outside', '--points', '32', '--random', '2', *self.CHECK, '--', BANK, 'safe', 'posix:/bank')
        self.assertEqual(r['violations'], 0)
        self.assertGreater(r['deeds'], 24)
        self.assertGreater(r['checks'], r['deeds'])
        self.assertEqual(r['functions_covered'], r['functions_used'])


class Points(Case):
    FEW = ('--outside', '--points', '9', '--random', '0')

    def points(self, *arguments, **options):
        """Each that was gone to, by --verbose."""
        self.torture('--verbose', *arguments, **options)
        return re.findall(r'^tarn torture: (\S+|a time): (good|wrong)$', self.err, re.M)

    def test_inside(self):
        """In the calls, where shared memory has changed; the same instruction is met by steps alone. The segment is the set-up's, and stays."""
        check = ('--setup', f'tarn rm -f {URL}; tarn create {URL}', '--check', 'test -z "$TARN_TORTURE_POINT"')
        found = json.loads(self.torture('-J', '--points', '36', '--random', '0', *check, '--', TORTURED, 'memory', URL, status=1))['found']
        inside = [v for v in found if re.search(r':entry\+\d+$', v['point'])]
        self.assertGreater(len(inside), 4)
        self.assertGreater(len({v['point'].split(':')[1] for v in inside}), 1, 'of several functions')
        last = inside[-1]
        again = json.loads(self.torture('-J', *check, '--at', last['point'], '--', TORTURED, 'memory', URL, status=1))['found'][0]
        for key in 'point', 'before', 'called_by':
            self.assertEqual(again[key], last[key])
        self.assertEqual(os.listdir(self.dir), ['tortured'])

    def test_random(self):
        times = []
        for seed in range(1, 9):  # one may be over before its time
            if times:
                break
            points = self.points('--outside', '--points', '1', '--random', '3', '--seed', str(seed), '--', TORTURED, 'threads', URL)
            times = [p for p, _ in points if '@' in p]
        self.assertRegex(times[0], r'^0[.\d]*:\w+:\d+:(entry|return)@\S+\+0x[0-9a-f]+$')

    def test_tasks(self):
        for how, task, function in (('threads', '0.2', 'tarn_thread_detach'), ('launch', '0.1', 'tarn_open'), ('memory', '0.1', 'tarn_commit')):
            r = self.report('--at', f'{task}:{function}:1:entry', '--', TORTURED, how, *([URL] if how != 'memory' else []))
            self.assertEqual((r['deeds'], self.covered(r)), (1, {function}), how)

    def test_no_call_is_missed(self):
        """Though two threads come to the same breakpoints: one call at first, and twenty by each, in this run and in the one before it."""
        r = self.report('--at', '0:tarn_close:1:entry', '--', TORTURED, 'threads', URL)
        calls = {f['name']: f['calls'] for f in r['functions']}
        self.assertEqual((calls['tarn_commit'], calls['tarn_thread_detach']), (82, 4))

    def test_calls_within_calls(self):
        r = self.report(*self.FEW, '--', TORTURED, 'callback', URL)
        names = {f['name']: f['calls'] for f in r['functions']}
        self.assertIn('tarn_participants', names)
        r = self.report('--at', '0:tarn_commit:2:return', '--', TORTURED, 'callback', URL)
        self.assertEqual(r['deeds'], 1)

    def test_linked_statically(self):
        r = self.report(*self.FEW, '--', STATIC, 'memory')
        self.assertGreater(r['deeds'], 5)
        self.assertIn('tarn_mutex_lock', self.covered(r))
        stripped = str(self.dir / 'stripped')
        if shutil.which('strip'):
            subprocess.run(['strip', '-o', stripped, STATIC], check=True)
            self.torture('--', stripped, 'memory', status=3, says='its symbols must be left in it')
            os.unlink(stripped)

    def test_other_backings(self):
        path = self.dir / 'file'
        for url in 'memfd:x', f'file:{path}', 'sysv:0x7a7e1234':
            r = self.report('--at', '0.1:tarn_commit:1:entry', '--', TORTURED, 'memory', url)
            self.assertEqual((r['deeds'], r['checks'], r['violations']), (1, 1, 0), url)
        self.assertNotIn('7a7e1234', pathlib.Path('/proc/sysvipc/shm').read_text())  # 2055082548: told below in decimal
        self.assertNotIn(str(0x7a7e1234), pathlib.Path('/proc/sysvipc/shm').read_text())


class Deeds(Case):
    def test_stop(self):
        r = self.report('--stop', '--stop-ms', '5', '--outside', '--points', '4', '--random', '1', '--', TORTURED, 'threads', URL)
        self.assertEqual((r['deed'], r['violations']), ('stop', 0))
        self.assertGreater(r['deeds'], 2)

    def test_exec(self):
        for point in '0.1:start:1:return', '0.2:tarn_save:5:return':  # beside others, one of which comes from where the thread begins
            r = self.report('--exec', '--at', point, '--', TORTURED, 'threads', URL)
            self.assertEqual((r['deed'], r['deeds'], r['violations']), ('exec', 1, 0))

    def test_no_memory(self):
        r = self.report('--enospc', '50', '--', TORTURED, 'grow', URL)
        self.assertEqual((r['deed'], r['violations'], r['missed']), ('enospc', 0, 0))
        self.assertEqual(r['deeds'], r['points'])
        self.assertLess(r['deeds'], 50, 'until it commits no more')
        self.assertIn('tarn_alloc', self.covered(r))
        check = ('--check', 'test -z "$TARN_TORTURE_POINT"')
        r = self.report('--at', f'commit:{r["deeds"]}', *check, '--', TORTURED, 'grow', URL, status=1)
        self.assertEqual(r['found'][0]['point'], f'commit:{r["found"][0]["point"].split(":")[1]}')
        self.torture('--verbose', '--at', 'commit:1', '--', TORTURED, 'grow', URL)
        self.assertRegex(self.err, r'tortured: posix:/tortured: no room for \d+ more bytes')

    def test_stuck(self):
        """Somebody waits for what a dead one was to do."""
        seconds = 1
        while True:
            arguments = ('--timeout', str(seconds), '--at', '0.1:tarn_event_set:1:entry', '--', TORTURED, 'hang', URL)
            r = subprocess.run([self.TARN, 'torture', '-J', *arguments], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, check=False)
            if b'does not end by itself' not in r.stderr:  # on a slow machine
                break
            seconds *= 4
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertRegex(json.loads(r.stdout)['found'][0]['wrong'][0], r'^stuck: had not ended after \d+ s: 0 \(pid \d+\)$')


class Refusals(Case):
    def test_the_program(self):
        self.torture('--', TORTURED, 'none', status=3, says='it never calls a function of tarn')
        self.torture('--', '/bin/true', status=3, says='no call of tarn can be found in it')
        self.torture('--', TORTURED, 'fails', status=3, says='fails by itself, before any kill: it ends with status 7')
        self.torture('--', TORTURED, 'dies', status=3, says='dies by itself, before any kill: signal 6')
        self.torture('--', str(self.dir / 'none'), status=3, says='cannot be executed: No such file')

    def test_check_and_setup(self):
        self.torture('--check', 'echo no; exit 5', '--', TORTURED, 'memory', status=3, says='before any kill: the check ended with status 5: no')
        self.torture('--check', 'kill -SEGV $$', '--', TORTURED, 'memory', status=3, says='before any kill: the check died of signal 11')
        self.torture('--setup', 'echo why; false', '--', TORTURED, 'memory', status=3, says='the set-up failed: why')

    def test_a_point_that_is_not_there(self):
        self.torture('--at', '0:tarn_commit:99:entry', '--', TORTURED, 'memory', status=3, says='no point was come to')

    def test_arguments(self):
        for wrong in (['--at', 'x'], ['--at', '0:tarn_open:0:entry'], ['--at', '0:tarn_open:1:middle'], ['--at', 'x:tarn_open:1:entry'], ['--stop', '--exec'],
                      ['--exec', '--at', 'commit:1'], ['--enospc', '2', '--at', '0:tarn_open:1:entry'], ['--points', '0'], ['--stop-ms', '0'], ['--nothing']):
            self.torture(*wrong, '--', TORTURED, 'memory', status=2, says='usage: tarn torture')
        self.torture(status=2, says='no program')
        self.assertIn('--outside', self.torture('--help'))

    def test_not_permitted(self):
        """Where ptrace is forbidden, as in a container."""
        self.torture('--', TORTURED, 'memory', status=3, says='a process may not be traced here: Operation not permitted', preexec_fn=forbid_ptrace)


class Ends(Case):
    def processes(self):
        """Of the tortured program, with our directory."""
        found = []
        for p in pathlib.Path('/proc').glob('[0-9]*'):
            try:
                if os.path.realpath(p / 'exe') == TORTURED and str(self.dir).encode() in (p / 'environ').read_bytes() and \
                   'State:\tZ' not in (p / 'status').read_text():
                    found.append(p.name)
            except OSError:
                pass
        return found

    def begin(self):
        p = subprocess.Popen([self.TARN, 'torture', '--outside', '--verbose', '--points', '1000', '--', TORTURED, 'threads', URL], env=self.env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        for line in p.stderr:
            if line.endswith(b': good\n'):
                return p
        return self.fail('no point')

    def test_by_a_signal(self):
        p = self.begin()
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=100)
        self.assertEqual((p.returncode, err.decode().splitlines()[-1]), (0, 'tarn torture: ended by a signal'))
        self.assertRegex(out.decode(), r'^points \d+, kills \d+')
        self.assertEqual((self.processes(), os.listdir(self.dir)), ([], []))

    def test_while_one_is_stopped(self):
        """It is stopped, as by a signal; and goes with the command."""
        p = subprocess.Popen([self.TARN, 'torture', '--stop', '--stop-ms', '3000000', '--timeout', '10000', '--at', '0.1:tarn_commit:1:entry', '--', TORTURED, 'memory', URL],
                             env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))

        def states():
            for pid in self.processes():
                try:
                    yield re.search(r'^State:\t(.)', pathlib.Path('/proc', pid, 'status').read_text(), re.M)[1]
                except OSError:
                    pass

        seen = []  # one that is stopped stays so; at a breakpoint it is for a moment

        def is_stopped():
            seen[:] = [*seen, p.pid] if {'T', 't'} & set(states()) else []
            return len(seen) > 9

        self.until(is_stopped, 'one is stopped')
        self.assertIsNone(p.poll())
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=100)
        self.assertEqual((self.processes(), os.listdir(self.dir)), ([], []))

    def test_by_a_kill(self):
        p = subprocess.Popen([self.TARN, 'torture', '--timeout', '1000', '--', TORTURED, 'endless', URL], env=self.env, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (p.kill(), p.wait(), [os.kill(int(pid), signal.SIGKILL) for pid in self.processes()]))
        self.until(lambda: self.processes() and os.listdir(self.dir), 'it runs')
        p.kill()
        self.until(lambda: not self.processes(), 'nobody is left')


if __name__ == '__main__':
    if platform.machine() != 'x86_64':
        print('test_torture.py: skipped: points are for x86-64')
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *CASES])
