#!/usr/bin/env python3
"""tarn gc: what it removes, and above all what it leaves. usage: test_gc.py TARN HOLDER [unittest arguments]

It would remove what other tests leave for a moment, and they would disturb it: so it runs in namespaces of its own (IPC, mounts, PIDs), with a /dev/shm of
its own. Where that may not be done, it is skipped. Process 1 there is this one, of root and as old as all: what is to go belongs to other users.
"""
import array
import ctypes
import glob
import mmap
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import machine
from machine import IPC_RMID, NOBODY, faults, libc

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
CASES = sys.argv[3:]
ANNE, BERT, CLARA = 4201, 4202, 4203  # users without a name
NOW = ('--older-than', '0', '--alone')

MAKE = """
import sys, time
from multiprocessing import shared_memory
s = shared_memory.SharedMemory(create=True, size=5000)
s.buf[0] = 1
print(s.name, flush=True)
{}
"""
ROW = {'action': ('removed', 'remove', 'kept', 'failed'), 'kind': ('sysv', 'posix'), 'id': machine.ID, 'size': int, 'res': machine.Maybe(int),
       'owner': machine.Maybe(str), 'made_by': machine.Maybe(str), 'created': machine.Maybe(int), 'used': machine.Maybe(int),
       'name': re.compile(r'((posix|sysv|shmid):|/proc/\d+/root/).+', re.S), 'why': str}


class Case(machine.Case):
    def setUp(self):
        super().setUp()
        for path in glob.glob('/dev/shm/*'):
            if os.path.isfile(path):
                os.unlink(path)

    @staticmethod
    def as_user(uid):
        return lambda: (os.setgroups([]), os.setgid(uid), os.setuid(uid))

    def interpreter(self):
        """One that every user may run."""
        for path in (sys.executable, '/usr/bin/python3'):
            try:
                subprocess.run([path, '-c', ''], preexec_fn=self.as_user(ANNE), cwd='/', check=True)
                return path
            except OSError:
                continue
        return self.skipTest('no Python here that other users may run')

    def python(self, uid, then='sys.stdin.read()', session=True):
        """A program that has made a segment, and its name. With a session, its tracker is of it and can be killed with it."""
        p = subprocess.Popen([self.interpreter(), '-c', MAKE.format(then)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             start_new_session=session, preexec_fn=self.as_user(uid), cwd='/')
        self.addCleanup(self.release, p)
        name = p.stdout.readline().decode().strip()
        self.assertRegex(name, 'psm_')
        self.addCleanup(pathlib.Path('/dev/shm', name).unlink, missing_ok=True)
        return p, name

    def orphan(self, uid):
        """The segment of a program that was killed, with its tracker."""
        p, name = self.python(uid)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        self.gone(p.pid)
        return name

    def gone(self, session):
        """The tracker is dead too, as soon as nobody alive is in the session."""
        def nobody():
            for stat in glob.glob('/proc/[0-9]*/stat'):
                try:
                    state, _, _, sid = pathlib.Path(stat).read_text().rsplit(')', 1)[1].split()[:4]
                except OSError:
                    continue
                if sid == str(session) and state not in 'ZX':
                    return False
            return True
        self.until(nobody, 'a session ends')

    def leave(self, name, uid=CLARA, content=b'x' * 100):
        """A file of a user none of whose processes live."""
        path = os.fsencode('/dev/shm/') + os.fsencode(name)
        with open(path, 'wb') as f:
            f.write(content)
        os.chown(path, uid, uid)
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        return path

    def id_of_the_dead(self, size=4096):
        number = int(subprocess.run([sys.executable, '-c', f'import ctypes; print(ctypes.CDLL(None).shmget(0, {size}, 0o1600))'],
                                    stdout=subprocess.PIPE, check=True).stdout)
        self.addCleanup(libc.shmctl, number, IPC_RMID, None)
        return number

    def gc(self, *arguments, **options):
        """{name: row}, of all that it looked at"""
        rows = self.json('gc', '-v', *arguments, **options)
        self.assertEqual(faults(rows, {'objects': [ROW]}), [])
        return {r['name']: r for r in rows['objects']}

    def expect(self, row, action, why):
        self.assertEqual(row['action'], action, row)
        self.assertRegex(row['why'], why)

    @staticmethod
    def there(name):
        return os.path.lexists(os.path.join(b'/dev/shm', os.fsencode(name)))

    @staticmethod
    def id_there(number):
        return libc.shmctl(number, 2, ctypes.create_string_buffer(256)) == 0

    def ask(self, answer, *arguments, meanwhile=lambda: None, status=0, command='gc'):
        """On a terminal: what it printed. meanwhile: after the question, before the answer."""
        ours, theirs = os.openpty()
        p = subprocess.Popen([self.TARN, command, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=self.env)
        os.close(theirs)
        text = b''
        while b'[y/N]' not in text:
            try:
                text += os.read(ours, 4096)
            except OSError:
                break
        meanwhile()
        os.write(ours, answer)
        try:
            while more := os.read(ours, 4096):
                text += more
        except OSError:
            pass
        os.close(ours)
        self.assertEqual(p.wait(), status, text)
        return text.decode()


class Python(Case):
    def test_orphan_goes(self):
        name = self.orphan(ANNE)
        self.expect(self.gc('-n', *NOW)[f'posix:/{name}'], 'remove', '^of Python: nobody has it, its maker is dead, and nobody lives who might open it$')
        self.assertTrue(self.there(name))
        self.expect(self.gc('-y', *NOW)[f'posix:/{name}'], 'removed', '^of Python')
        self.assertFalse(self.there(name))

    def test_living_program_keeps_its_own(self):
        """What it has mapped, and what it has closed and would open again; an orphan of another user goes beside it."""
        orphan = self.orphan(BERT)
        p, mapped = self.python(ANNE)
        q, closed = self.python(ANNE, 's.close(); print(flush=True); sys.stdin.read(); s = shared_memory.SharedMemory(s.name); print(s.buf[0], flush=True); s.unlink()')
        q.stdout.readline()
        rows = self.gc('-y', *NOW)
        self.expect(rows[f'posix:/{mapped}'], 'kept', f'^process {p.pid} .* has it$')
        self.expect(rows[f'posix:/{closed}'], 'kept', r'^process \d+ \(python.*\) of its owner lives, and may open it$')
        self.expect(rows[f'posix:/{orphan}'], 'removed', '^of Python')
        self.assertEqual([self.there(n) for n in (mapped, closed, orphan)], [True, True, False])
        q.stdin.close()
        self.assertEqual(q.stdout.readline(), b'1\n')  # it is as it was

    def test_who_is_younger(self):
        """A program started later keeps nothing of earlier ones, unless its session is older: it may be a child that was told the name."""
        child = ('import subprocess; time.sleep(5); '
                 'subprocess.Popen([sys.executable, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"]); sys.stdin.read()')
        parent, told = self.python(ANNE, child)
        shell = subprocess.Popen(['sh', '-c', f'read x; {self.interpreter()} -c "print(1, flush=True); input()"; exit'], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, start_new_session=True, preexec_fn=self.as_user(CLARA), cwd='/')
        self.addCleanup(self.release, shell)
        self.until(lambda: os.readlink(f'/proc/{shell.pid}/exe') != os.readlink('/proc/self/exe'), 'the shell is one')
        self.leave('psm_01234567', CLARA)
        orphan = self.orphan(BERT)
        made = os.stat(f'/dev/shm/{orphan}').st_ctime
        child = parent.stdout.readline().decode().strip()
        self.until(lambda: time.time() > made + 5, 'the clock goes')  # start times are told to a second or two
        later, mapped = self.python(BERT)
        shell.stdin.write(b'\n')
        shell.stdin.flush()
        shell.stdout.readline()
        session = [int(s.split('/')[2]) for s in glob.glob('/proc/[0-9]*/stat')
                   if pathlib.Path(s).read_text().rsplit(')', 1)[1].split()[3] == str(parent.pid)]
        self.assertEqual(len(session), 3)  # with the tracker, which dies first: else it would remove what the parent leaves
        for pid in sorted(set(session) - {int(child)}, reverse=True):
            os.kill(pid, signal.SIGKILL)
        parent.wait()
        rows = self.gc('-y', *NOW)
        os.kill(int(child), signal.SIGKILL)
        self.expect(rows[f'posix:/{told}'], 'kept', f'^process {child} .python.*of its owner lives')
        self.expect(rows['posix:/psm_01234567'], 'kept', r'^process \d+ .python.*of its owner lives')
        self.expect(rows[f'posix:/{orphan}'], 'removed', '^of Python')
        self.expect(rows[f'posix:/{mapped}'], 'kept', f'^process {later.pid} ')
        shell.stdin.write(b'\n')
        shell.stdin.close()
        shell.wait()
        self.expect(self.gc('-y', *NOW)['posix:/psm_01234567'], 'removed', '^of Python')

    def test_younger_than_asked(self):
        name = self.orphan(ANNE)
        self.expect(self.gc('-y', '--alone')[f'posix:/{name}'], 'kept', r'^it was made or used \d+ seconds ago$')
        self.expect(self.gc('-y', '-f', '--alone', '--older-than', '1d')[f'posix:/{name}'], 'kept', 'seconds ago')
        self.assertTrue(self.there(name))

    def test_number_in_the_name(self):
        """A maker of another program, by the number in the name."""
        p = subprocess.Popen(['sleep', '1000'], preexec_fn=self.as_user(BERT))
        self.addCleanup(lambda: (p.kill(), p.wait()))
        self.until(lambda: 'sleep' in os.readlink(f'/proc/{p.pid}/exe'), 'it is started')
        for name in (f'torch_{p.pid}_1_0', f'sem.loky-{p.pid}-ab', 'torch_4194000_1_0'):
            self.leave(name)
        rows = self.gc('-y', *NOW)
        self.expect(rows[f'posix:/torch_{p.pid}_1_0'], 'kept', f'^process {p.pid} .sleep., which made it, lives$')
        self.expect(rows[f'posix:/sem.loky-{p.pid}-ab'], 'kept', 'which made it, lives')
        self.expect(rows['posix:/torch_4194000_1_0'], 'removed', 'of PyTorch')


class Objects(Case):
    def test_unknown_makers(self):
        number, keyed = self.id_of_the_dead(), self.sysv(0x7a000001, 4096, attach=False)
        for name in ('mine', 'sem.mine', 'qipc_sharedmemory_x', 'iox2_ab'):
            self.leave(name)
        rows = self.gc('-y', *NOW)
        self.assertEqual({r['action'] for r in rows.values()}, {'kept'})
        self.expect(rows[f'shmid:{number}'], 'kept', 'what made it is not known')
        self.expect(rows['sysv:0x7a000001'], 'kept', f'process {os.getpid()} .*, which made it, lives')
        self.expect(rows['posix:/sem.mine'], 'kept', 'made by sem_open, which may come back to it')
        rows = self.gc('-y', '-f', *NOW)
        self.assertEqual({r['action'] for r in rows.values()}, {'removed'})
        self.assertFalse(self.id_there(number) or self.id_there(keyed) or self.there('mine') or self.there('sem.mine'))

    def test_in_use_stays_though_forced(self):
        attached, fd = self.sysv(0, 4096), os.open(self.leave('mine'), os.O_RDONLY)
        self.addCleanup(os.close, fd)
        mapped = self.file('/dev/shm/psm_01234567', 4096)
        rows = self.gc('-y', '-f', *NOW)
        self.assertEqual(len(rows), 3)
        for row in rows.values():
            self.expect(row, 'kept', f'^process {os.getpid()} .* has it$')
        self.assertTrue(self.id_there(attached) and self.there('mine') and self.there('psm_01234567'))
        mapped.close()

    def test_what_proc_does_not_show(self):
        """A descriptor on its way through a socket is nobody's; the kernel knows of it, and gives no lease."""
        fd, (a, b) = os.open(self.leave('psm_01234567'), os.O_RDONLY), socket.socketpair()
        a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
        os.close(fd)
        self.expect(self.gc('-n', *NOW)['posix:/psm_01234567'], 'remove', 'of Python')
        self.expect(self.gc('-y', *NOW)['posix:/psm_01234567'], 'kept', '^it is in use by now$')
        self.assertTrue(self.there('psm_01234567'))
        a.close()
        b.close()
        self.expect(self.gc('-y', *NOW)['posix:/psm_01234567'], 'removed', 'of Python')

    def test_without_a_lease(self):
        self.leave('psm_01234567')
        rows = self.gc('-y', *NOW, before=('setpriv', '--bounding-set=-lease', '--inh-caps=-lease'))
        self.expect(rows['posix:/psm_01234567'], 'removed', 'of Python')
        self.assertFalse(self.there('psm_01234567'))

    def test_segments_of_ours(self):
        """Lifetimes: until unlinked, until unused, until the creator's end; of the living and of the killed."""
        wanted = {}
        for lifetime in '012':
            self.env['HOLDER_LIFETIME'] = lifetime
            self.hold(f'posix:/live{lifetime}', 'x')
            self.release(self.hold(f'posix:/dead{lifetime}', 'x'))
            wanted[f'posix:/live{lifetime}'] = 'kept'
            wanted[f'posix:/dead{lifetime}'] = 'kept' if lifetime == '0' else 'remove'
        rows = self.gc('-n', '--alone')
        self.assertEqual({name: r['action'] for name, r in rows.items()}, wanted)
        self.assertTrue(self.there('dead1') and self.there('dead2'))
        rows = self.gc('-y', '--alone')
        self.expect(rows['posix:/dead0'], 'kept', 'lives until it is removed: tarn rm$')
        self.expect(rows['posix:/dead1'], 'removed', 'ends with its last user, and has none$')
        self.expect(rows['posix:/dead2'], 'removed', 'ends with its creator, who has ended$')
        self.assertEqual(sorted(os.path.basename(p) for p in glob.glob('/dev/shm/[dl]*')), ['dead0', 'live0', 'live1', 'live2'])
        self.expect(self.gc('-y', '-f', '--alone')['posix:/dead0'], 'kept', 'seconds ago')
        self.expect(self.gc('-y', '-f', *NOW)['posix:/dead0'], 'removed', 'forced')
        self.assertTrue(self.there('live0') and not self.there('dead0'))

    def test_hostile_names(self):
        names = [b'torch_4194000_\x1b[31m', b'torch_4194000_a\nb', b'sem.loky-4194000-\xff\xfe', b"torch_4194000_'$(x)", b'torch_4194000_' + b'y' * 241,
                 'torch_4194000_\u202e'.encode()]
        for name in names:
            self.leave(name)
        for arguments in ((), ('--raw',)):
            text = self.tarn('gc', '-n', *arguments, *NOW)
            self.assertTrue(all(c.isprintable() for c in text.replace('\n', '')), repr(text))
        self.assertIn('posix:/torch_4194000_\\x1b[31m', self.tarn('gc', '-n', *NOW))
        rows = self.gc('-y', *NOW)
        self.assertEqual([r['action'] for r in rows.values()], ['removed'] * len(names))
        self.assertEqual([n for n in names if self.there(n)], [])

    def test_other_namespaces(self):
        """Another mount namespace's objects stay, forced or not, and are told from ours of the same name."""
        self.leave('psm_01234567')
        code = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && echo x >/dev/shm/psm_01234567 && echo 1 && read x; ls /dev/shm'
        p = subprocess.Popen(['unshare', '-m', 'sh', '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        p.stdout.readline()
        rows = self.gc('-y', '-f', *NOW)
        self.expect(rows['posix:/psm_01234567'], 'removed', 'forced')
        self.expect(rows[f'/proc/{p.pid}/root/dev/shm/psm_01234567'], 'kept', f'^of another namespace: .* nsenter -t {p.pid} -a$')
        p.stdin.write(b'\n')
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b'psm_01234567\n')


class Races(Case):
    """Between the look and the removal, at the question."""

    def test_answers(self):
        self.leave('psm_01234567')
        for answer in (b'n\n', b'\n', b'\x04', b'no y\n'):
            self.assertIn('posix:/psm_01234567', self.ask(answer, *NOW))
            self.assertTrue(self.there('psm_01234567'))
        self.ask(b'y\n', *NOW)
        self.assertFalse(self.there('psm_01234567'))

    def test_somebody_comes(self):
        number = self.id_of_the_dead()
        for name in ('psm_00000001', 'psm_00000002', 'psm_00000003', 'psm_00000004'):
            self.leave(name)
        was = os.stat('/dev/shm/psm_00000003').st_ino

        def meanwhile():
            fd = os.open('/dev/shm/psm_00000001', os.O_RDWR)
            self.map(fd, 100)
            os.close(fd)
            os.rename(self.leave('new'), '/dev/shm/psm_00000003')
            os.unlink('/dev/shm/psm_00000004')
            self.addCleanup(libc.shmdt, libc.shmat(number, None, 0))

        text = self.ask(b'y\n', '-f', *NOW, meanwhile=meanwhile)
        self.assertRegex(text, r'posix:/psm_00000001: kept: it is in use by now\r\n')
        self.assertRegex(text, r'posix:/psm_00000003: kept: its name leads to another by now\r\n')
        self.assertRegex(text, rf'shmid:{number}: kept: it has been attached meanwhile\r\n')
        self.assertNotIn('failed', text)
        self.assertEqual([self.there(f'psm_0000000{k}') for k in (1, 2, 3, 4)], [True, False, True, False])
        self.assertNotEqual(os.stat('/dev/shm/psm_00000003').st_ino, was)
        self.assertTrue(self.id_there(number))

    def test_id_was_set_anew(self):
        """Somebody who does not attach it has shown that he knows it: another time of change."""
        number = self.id_of_the_dead()
        buffer = ctypes.create_string_buffer(256)

        def meanwhile():
            made = int(next(r.split()[13] for r in pathlib.Path('/proc/sysvipc/shm').read_text().splitlines() if r.split()[1] == str(number)))
            self.until(lambda: time.time() >= made + 1.1, 'the clock goes')  # the kernel's seconds are a tick late
            libc.shmctl(number, 2, buffer)
            self.assertEqual(libc.shmctl(number, 1, buffer), 0)

        text = self.ask(b'y\n', '-f', *NOW, meanwhile=meanwhile)
        self.assertIn(f'shmid:{number}: kept: it was changed meanwhile', text)
        self.assertTrue(self.id_there(number))

    def test_ids_and_names_vanish(self):
        code = ('import ctypes, os\nc = ctypes.CDLL(None)\nwhile True:\n'
                ' n = [c.shmget(0, 4096, 0o1600) for k in range(20)]\n'
                ' for k in range(20): open("/dev/shm/torch_4194000_%d" % k, "w").close()\n'
                ' for k in n: c.shmctl(k, 0, None)\n'
                ' for k in range(20):\n  try: os.unlink("/dev/shm/torch_4194000_%d" % k)\n  except OSError: pass')
        p = subprocess.Popen([self.interpreter(), '-c', code], preexec_fn=self.as_user(NOBODY), cwd='/')
        self.addCleanup(lambda: (p.kill(), p.wait()))
        seen = set()
        for _ in range(15):
            seen |= {r['action'] for r in self.gc('-y', '-f', *NOW).values()}
        self.assertNotIn('failed', seen)
        p.kill()
        p.wait()
        self.gc('-y', '-f', *NOW)
        self.assertEqual(glob.glob('/dev/shm/torch*'), [])


class Rights(Case):
    def test_no_full_view(self):
        name = self.leave('psm_01234567', NOBODY)
        rows = self.gc('-y', *NOW, uid=NOBODY, status=3, says='nothing is called unused: not all processes may be looked at')
        self.expect(rows['posix:/psm_01234567'], 'kept', 'not all processes may be looked at')
        rows = self.gc('-y', '-f', '--older-than', '0', status=3, says='this is a PID namespace of its own')
        self.expect(rows['posix:/psm_01234567'], 'kept', 'PID namespace of its own')
        hidden = ['unshare', '-m', 'sh', '-c', 'mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0" "$@"']
        rows = self.gc('-y', '-f', *NOW, before=hidden, status=3, says='processes of others are hidden in /proc')
        self.assertTrue(os.path.exists(name))

    def test_asks(self):
        self.leave('psm_01234567')
        for arguments in ((), ('-f',), ('-J',)):
            self.tarn('gc', *arguments, *NOW, stdin=subprocess.DEVNULL, status=2, says='no terminal to ask on: say --yes, or --dry-run')
        self.assertTrue(self.there('psm_01234567'))
        ours, theirs = os.openpty()
        self.tarn('gc', '-J', *NOW, stdin=theirs, status=2, says='-J and --raw ask nothing: say --yes, or --dry-run')
        os.close(ours)
        os.close(theirs)

    def test_wrong_usage(self):
        for arguments, says in ((('posix:/a',), 'takes no URL'), (('--older-than', 'x'), 'number of seconds'), (('--older-than', '1w'), 'number of seconds'),
                                (('--older-than', '99999999999999999d'), 'number of seconds'), (('--older-than', '-1'), 'number of seconds')):
            self.tarn('gc', '-y', *arguments, status=2, says=says)


class Rm(Case):
    """tarn rm --any: what somebody names, whoever made it."""

    def test_each_kind(self):
        number, keyed = self.id_of_the_dead(), self.sysv(0x7a000002, 4096)
        self.leave(b'a\n\x1b[31m')
        mapped = self.file('/dev/shm/b', 4096)
        self.tarn('rm', 'posix:/b', status=1, says='posix:/b')
        self.tarn('rm', '--any', 'posix:/b', stdin=subprocess.DEVNULL, status=2, says='no terminal to ask on')
        self.assertTrue(self.there('b'))
        self.tarn('rm', '--any', '-y', 'posix:/b', b'posix:/a\n\x1b[31m', f'shmid:{number}', 'sysv:0x7a000002')
        self.assertEqual([n for n in os.listdir(b'/dev/shm') if n[:4] != b'tarn'], [])
        self.assertFalse(self.id_there(number))
        self.assertTrue(self.id_there(keyed))  # its last user has not gone
        self.assertIn('deleted', self.tarn('ls', '--kind', 'sysv'))
        mapped.close()
        self.tarn('rm', '--any', '-y', 'posix:/b', status=1, says='there is none')
        self.tarn('rm', '--any', '-fy', 'posix:/b')

    def test_what_has_no_name(self):
        self.memfd('label\x1b', 4096)
        path = f'/var/tmp/tarn test rm {os.getpid()}'
        self.file(path, 4096)
        self.tarn('rm', '--any', '-y', 'memfd:label\x1b', status=3, says='memfd:label\\x1b: it has no name to remove')
        self.tarn('rm', '--any', '-y', f'file:{path}', status=3, says='it is a file: rm removes it')
        self.assertTrue(os.path.exists(path))

    def test_question(self):
        self.leave('psm_01234567')
        name = ('--any', 'posix:/psm_01234567')
        self.assertIn('posix:/psm_01234567: made by Python, and 0 processes have it. Remove it? [y/N]', self.ask(b'n\n', *name, command='rm'))
        self.assertTrue(self.there('psm_01234567'))

        def another():
            os.rename(self.leave('new'), '/dev/shm/psm_01234567')
        self.assertIn('its name leads to another by now', self.ask(b'y\n', *name, command='rm', meanwhile=another, status=1))
        self.assertTrue(self.there('psm_01234567'))
        self.ask(b'y\n', *name, command='rm')
        self.assertFalse(self.there('psm_01234567'))


class PostgreSQL(Case):
    def program(self, name):
        found = shutil.which(name) or next(iter(sorted(glob.glob(f'/usr/lib/postgresql/*/bin/{name}'))), None)
        if not found:
            self.skipTest('PostgreSQL is not installed here')
        return found

    def test_server(self):
        """Its memory survives, also what none of its processes has at the moment; after it was killed, all of it goes."""
        initdb, postgres = self.program('initdb'), self.program('postgres')
        user = next(u for u in pwd.getpwall() if u.pw_name in ('postgres', 'nobody'))
        where = tempfile.mkdtemp(prefix='tarn-pg-', dir='/var/tmp')
        self.leave('PostgreSQL.78', user.pw_uid)  # of an earlier server, which a later one may come back to
        made = os.stat('/dev/shm/PostgreSQL.78').st_ctime
        self.addCleanup(shutil.rmtree, where)
        os.chown(where, user.pw_uid, user.pw_gid)
        as_user = dict(preexec_fn=self.as_user(user.pw_uid), cwd=where, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=dict(os.environ, LC_ALL='C'))
        init = subprocess.run([initdb, '-N', '-A', 'trust', '-U', 'x', f'{where}/data'], timeout=100, **as_user)
        self.assertEqual(init.returncode, 0, init.stderr)
        self.until(lambda: time.time() > made + 5, 'the clock goes')
        as_user['stderr'] = open(f'{where}/log', 'wb')
        server = subprocess.Popen([postgres, '-D', f'{where}/data', '-k', where, '-c', 'listen_addresses=', '-c', 'shared_buffers=1MB', '-c', 'max_connections=5',
                                   '-c', 'dynamic_shared_memory_type=posix', '-c', 'fsync=off'], start_new_session=True, **as_user)
        as_user['stderr'].close()
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.until(lambda: os.path.exists(f'{where}/.s.PGSQL.5432') and 'ready' in pathlib.Path(f'{where}/log').read_text(), 'it is ready')
        self.leave('PostgreSQL.77', user.pw_uid)  # as if pinned, and mapped by nobody
        own = glob.glob('/dev/shm/PostgreSQL.*')
        self.assertGreaterEqual(len(own), 3)
        rows = self.gc('-y', *NOW)
        ids = [name for name, r in rows.items() if r['kind'] == 'sysv' and r['made_by'] == 'PostgreSQL']
        self.assertEqual(len(ids), 1, rows)
        self.assertEqual({r['action'] for r in rows.values()}, {'kept'})
        self.expect(rows['posix:/PostgreSQL.77'], 'kept', r'^process \d+ \(postgres\) of its owner lives')
        self.expect(rows[ids[0]], 'kept', r'^process \d+ \(postgres\) has it')
        self.assertIsNone(server.poll())
        for stat in glob.glob('/proc/[0-9]*/stat'):
            if '(postgres)' in pathlib.Path(stat).read_text():
                os.kill(int(stat.split('/')[2]), signal.SIGKILL)
        server.wait()
        self.until(lambda: not [s for s in glob.glob('/proc/[0-9]*/stat') if re.search(r'\(postgres\) [^ZX]', pathlib.Path(s).read_text())], 'its processes end')
        rows = self.gc('-y', *NOW)
        self.assertEqual({name: r['action'] for name, r in rows.items()},
                         dict.fromkeys([*('posix:/' + os.path.basename(p) for p in own), *ids], 'removed'))
        self.assertEqual(glob.glob('/dev/shm/PostgreSQL.*'), [])


def main():
    if os.environ.get('TARN_TEST_ALONE'):
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m,mode=1777', 'tmpfs', '/dev/shm'], check=True)
        unittest.main(argv=[sys.argv[0], *CASES])
    own = ['unshare', '--ipc', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    if subprocess.run([*own, 'mount', '-t', 'tmpfs', 'tmpfs', '/dev/shm'], stderr=subprocess.DEVNULL, check=False).returncode:
        print('namespaces of its own may not be made here: skipped')
        sys.exit(77)
    os.environ['TARN_TEST_ALONE'] = '1'
    os.execvp(own[0], [*own, sys.executable, *sys.argv])


if __name__ == '__main__':
    main()
