#!/usr/bin/env python3
"""tarn perms, dump, load and cp, on real objects of each kind. usage: test_raw.py TARN HOLDER [unittest arguments]"""
import ctypes
import fcntl
import mmap
import os
import pathlib
import signal
import stat
import subprocess
import sys
import unittest

import machine
from machine import IPC_RMID, NOBODY, libc

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
CASES = sys.argv[3:]
ME, PAGE, ROOT = os.getpid(), mmap.PAGESIZE, os.getuid() == 0
SIZE = (3 << 20) + 123
F_ADD_SEALS, F_GET_SEALS, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 1033, 1034, 2, 4, 8


def image():
    """Data at three places, the last byte among them; before and between them holes."""
    b = bytearray(SIZE)
    b[5000:14000] = os.urandom(9000)
    b[(1 << 20) + 100:(1 << 20) + 300] = b'x' * 200
    b[-1] = 7
    return bytes(b)


def sysv_line(number):
    head, *lines = pathlib.Path('/proc/sysvipc/shm').read_text().splitlines()
    for line in lines:
        row = dict(zip(head.split(), line.split()))
        if int(row['shmid']) == number:
            return row
    return None


def sysv_id(key):
    head, *lines = pathlib.Path('/proc/sysvipc/shm').read_text().splitlines()
    found = [int(line.split()[1]) for line in lines if int(line.split()[0]) & 0xffffffff == key]
    return found[0] if found else None


class Case(machine.Case):
    def setUp(self):
        super().setUp()
        self.ours()
        self.keys = 0

    def key(self):
        """Of nobody's; what comes to be under it goes."""
        self.keys += 1
        key = 0x70000000 | ME << 4 | self.keys
        self.addCleanup(self.remove_key, key)
        return key

    @staticmethod
    def remove_key(key):
        number = sysv_id(key)
        if number is not None:
            libc.shmctl(number, IPC_RMID, None)

    def write(self, name, content, mode=0o600, sparse=True):
        path = self.dir / name
        with open(path, 'wb') as f:
            for at in range(0, len(content), PAGE):
                piece = content[at:at + PAGE]
                if not sparse or piece.strip(b'\0'):
                    f.seek(at)
                    f.write(piece)
            f.truncate(len(content))
        path.chmod(mode)
        return path

    def filled_sysv(self, content, mode=0o600):
        key = self.key()
        number = self.sysv(key, len(content), mode, attach=False)
        at = libc.shmat(number, None, 0)
        for start in range(0, len(content), PAGE):
            piece = content[start:start + PAGE]
            if piece.strip(b'\0'):
                ctypes.memmove(at + start, piece, len(piece))
        libc.shmdt(at)
        return key, number

    def filled_memfd(self, label, content, flags=0):
        fd = os.memfd_create(label, flags)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, len(content))
        for start in range(0, len(content), PAGE):
            if content[start:start + PAGE].strip(b'\0'):
                os.pwrite(fd, content[start:start + PAGE], start)
        return fd

    def bytes_of(self, url):
        if url.startswith('posix:'):
            return (self.dir / url[7:]).read_bytes()
        if url.startswith('file:'):
            return pathlib.Path(url[5:]).read_bytes()
        number = sysv_id(int(url[5:], 0))
        at = libc.shmat(number, None, 0)
        content = ctypes.string_at(at, int(sysv_line(number)['size']))
        libc.shmdt(at)
        return content

    def entries(self):
        return sorted(os.listdir(self.dir))


class Perms(Case):
    def perms(self, url, *arguments, **options):
        return self.json('perms', url, *arguments, **options)['objects'][0]

    def test_told(self):
        self.write('p', b'12345', 0o640)
        _, number = self.filled_sysv(b'x' * 10, 0o604)
        fd = self.filled_memfd(f'label {ME}', b'xy', os.MFD_ALLOW_SEALING)
        fcntl.fcntl(fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW)
        me = {'uid': os.getuid(), 'gid': os.getgid()}
        for url, wanted in ((('posix:/p'), {'mode': '0640', 'rights': 'rw-r-----', 'size': 5}),
                            (f'file:{self.dir}/p', {'mode': '0640', 'size': 5}),
                            (f'shmid:{number}', {'mode': '0604', 'rights': 'rw----r--', 'size': 10, 'seals': None}),
                            (f'memfd:label {ME}', {'mode': '0777', 'seals': 'shrink,grow', 'size': 2}),
                            (f'/proc/{ME}/fd/{fd}', {'seals': 'shrink,grow'})):
            told = self.perms(url)
            self.assertEqual({k: told[k] for k in wanted | me}, wanted | me, url)
        self.assertRegex(self.tarn('perms', 'posix:/p'), r'^MODE RIGHTS .*\n0640 rw-r----- .* posix:/p\n$')

    def test_mode(self):
        path = self.write('p', b'x', 0o600)
        key, number = self.filled_sysv(b'x')
        fd = self.filled_memfd('m', b'x')
        for url, mode in (('posix:/p', lambda: stat.S_IMODE(path.stat().st_mode)), (f'file:{path}', lambda: stat.S_IMODE(path.stat().st_mode)),
                          (f'sysv:{key:#x}', lambda: int(sysv_line(number)['perms'], 8) & 0o777),
                          (f'/proc/{ME}/fd/{fd}', lambda: stat.S_IMODE(os.fstat(fd).st_mode))):
            for text, wanted in (('640', 0o640), ('u-w,o+r', 0o444), ('a=', 0), ('u=rw,g=u', None), ('ug+rw', 0o660), ('+x', 0o771 | 0o110), ('go=', 0o700),
                                 ('0600', 0o600)):
                if wanted is None:
                    self.tarn('perms', url, '--mode', text, status=2)
                    self.assertEqual(mode(), 0)
                    continue
                self.assertEqual(self.tarn('perms', url, '--mode', text), '')
                self.assertEqual(mode(), wanted, f'{url} {text}')
            told = self.tarn('perms', '-n', url, '--mode', 'o+r')
            self.assertEqual(told, f'{url}: mode 0600 -> 0604\n')
            self.assertEqual(mode(), 0o600)

    @unittest.skipUnless(ROOT, 'only root gives things away')
    def test_owner(self):
        path = self.write('p', b'x')
        _, number = self.filled_sysv(b'x')
        self.tarn('perms', 'posix:/p', '--owner', f'{NOBODY}:7', '--mode', '640')
        s = path.stat()
        self.assertEqual((s.st_uid, s.st_gid, stat.S_IMODE(s.st_mode)), (NOBODY, 7, 0o640))
        self.tarn('perms', 'posix:/p', '--owner', ':8')
        self.tarn('perms', f'shmid:{number}', '--owner', str(NOBODY), '--group', '9', '--mode', 'g+r')
        self.assertEqual((path.stat().st_uid, path.stat().st_gid), (NOBODY, 8))
        row = sysv_line(number)
        self.assertEqual((row['uid'], row['gid'], int(row['perms'], 8) & 0o777), (str(NOBODY), '9', 0o640))
        self.tarn('perms', 'posix:/p', '--owner', 'nobody-has-this-name', status=2, says='no such user')
        os.chown(path, 0, 0)
        self.assertEqual(self.perms('posix:/p', uid=NOBODY)['mode'], '0640')  # it may be looked at
        self.tarn('perms', 'posix:/p', '--mode', '666', uid=NOBODY, status=3, says='belongs to user 0')
        libc.shmctl(number, IPC_RMID, None)
        _, number = self.filled_sysv(b'x')
        self.assertEqual(self.perms(f'shmid:{number}', uid=NOBODY)['mode'], '0600')
        self.tarn('perms', f'shmid:{number}', '--mode', '666', uid=NOBODY, status=3, says='belongs to user 0')
        self.assertEqual(int(sysv_line(number)['perms'], 8) & 0o777, 0o600)

    def test_seals(self):
        fd = self.filled_memfd(f'sealed {ME}', b'x' * PAGE, os.MFD_ALLOW_SEALING)
        url = f'/proc/{ME}/fd/{fd}'
        self.tarn('perms', url, '--seal', 'shrink,GROW')
        self.assertEqual(fcntl.fcntl(fd, F_GET_SEALS), SEAL_SHRINK | SEAL_GROW)
        m = mmap.mmap(fd, PAGE)
        self.tarn('perms', url, '--seal', 'write', status=3, says='mapped to write')
        m.close()
        self.tarn('perms', url, '--seal', 'write')
        self.assertEqual(fcntl.fcntl(fd, F_GET_SEALS), SEAL_SHRINK | SEAL_GROW | SEAL_WRITE)
        other = self.filled_memfd('not to be sealed', b'x')
        self.tarn('perms', f'/proc/{ME}/fd/{other}', '--seal', 'grow', status=3, says='made without that')
        self.tarn('perms', url, '--seal', 'gro', status=2)
        _, number = self.filled_sysv(b'x')
        self.tarn('perms', f'shmid:{number}', '--seal', 'grow', status=3)

    def test_segment(self):
        """Ours, by the library; and back from a mode with which nobody can open it."""
        self.hold('posix:/s', 'x')
        self.tarn('perms', 'posix:/s', '--mode', '640')
        self.assertEqual(self.json('info', 'posix:/s')['segment']['mode'], '0640')
        self.tarn('perms', 'posix:/s', '--mode', '0')
        self.tarn('perms', 'posix:/s', '--mode', 'u=rw')
        self.assertEqual(stat.S_IMODE((self.dir / 's').stat().st_mode), 0o600)

    def test_what_is_refused(self):
        path = self.write('p', b'x')
        (self.dir / 'link').symlink_to(path)
        (self.dir / 'd').mkdir()
        os.mkfifo(self.dir / 'f')
        self.tarn('perms', 'posix:/link', '--mode', '666', status=3, says='symbolic link')
        self.tarn('perms', 'posix:/d', status=3)
        self.tarn('perms', 'posix:/f', status=3)
        self.tarn('perms', 'posix:/none', status=1)
        self.tarn('perms', f'sysv:{self.key()}', status=1)
        self.tarn('perms', 'posix:/a/b', status=2)
        self.tarn('perms', 'posix:/p', '--mode', '1777', status=2)
        self.tarn('perms', 'memfd:nobody has this', status=1)
        for command in 'perms', 'dump', 'info', 'rm':
            self.tarn(command, 'posix:/\033[31mred\n', status=1, says='posix:/\\x1b[31mred\\x0a')
            self.assertNotIn('\033', self.err)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_two_of_one_label(self):
        for _ in range(2):
            self.filled_memfd(f'twice {ME}', b'x')
        self.tarn('perms', f'memfd:twice {ME}', status=1, says='there are 2')
        one = [o['id'] for o in self.ls('--kind', 'memfd') if o['name'] == f'memfd:twice {ME}'][0]
        self.assertEqual(self.perms(one)['size'], 1)


class Copies(Case):
    def sources(self, content):
        self.write('source', content)
        key, _ = self.filled_sysv(content)
        fd = self.filled_memfd(f'source {ME}', content)
        return ['posix:/source', f'file:{self.dir}/source', f'sysv:{key:#x}', f'/proc/{ME}/fd/{fd}', f'memfd:source {ME}']

    def test_between_any_two(self):
        content = image()
        for k, source in enumerate(self.sources(content)):
            for target in (f'posix:/t{k}', f'file:{self.dir}/f{k}', f'sysv:{self.key()}'):
                self.tarn('cp', source, target, '--mode', '640')
                self.assertEqual(self.bytes_of(target), content, f'{source} {target}')
                self.assertEqual(self.json('perms', target)['objects'][0]['mode'], '0640')
            self.tarn('dump', source, self.dir / f'd{k}')
            self.assertEqual((self.dir / f'd{k}').read_bytes(), content)
            self.assertLess((self.dir / f'd{k}').stat().st_blocks * 512, 100000)
            piped = subprocess.run([self.TARN, 'dump', source], env=self.env, stdout=subprocess.PIPE, timeout=60, check=True)
            self.assertEqual(piped.stdout, content)
            self.tarn('load', f'sysv:{self.key()}', input=content, status=2, says='--size')
            target = f'sysv:{self.key()}'
            self.tarn('load', self.dir / f'd{k}', target)
            self.assertEqual(self.bytes_of(target), content)
        for target in ('posix:/t0', f'file:{self.dir}/f2'):
            path = self.dir / target.rsplit('/', 1)[1]
            self.assertLess(path.stat().st_blocks * 512, 100000)
        self.assertEqual([e for e in self.entries() if e.startswith('.')], [])

    def test_mode_and_stdin(self):
        content = image()
        self.write('p', content, 0o644)
        self.tarn('cp', 'posix:/p', 'posix:/q')
        self.assertEqual(stat.S_IMODE((self.dir / 'q').stat().st_mode), 0o644)
        self.tarn('load', 'posix:/r', input=content)
        self.assertEqual(stat.S_IMODE((self.dir / 'r').stat().st_mode), 0o600)
        self.assertEqual((self.dir / 'r').read_bytes(), content)
        self.assertLess((self.dir / 'r').stat().st_blocks * 512, 100000)
        self.tarn('load', '-', 'posix:/s', '--size', '4M', input=content)
        self.assertEqual((self.dir / 's').read_bytes(), content + bytes((4 << 20) - SIZE))
        self.tarn('load', '--size', '1M', 'posix:/t', input=content, status=3, says='more bytes')
        self.tarn('load', self.dir / 'p', 'posix:/t', '--size', '1M', status=3, says='more bytes')
        self.tarn('load', 'posix:/empty', input=b'')
        self.assertEqual((self.dir / 'empty').read_bytes(), b'')
        self.tarn('load', '--commit', 'posix:/whole', input=content)
        self.assertEqual((self.dir / 'whole').read_bytes(), content)
        self.assertGreaterEqual((self.dir / 'whole').stat().st_blocks * 512, SIZE)
        self.assertEqual(self.entries(), ['empty', 'p', 'q', 'r', 's', 'whole'])

    def test_into_a_redirected_file(self):
        content = image()
        self.write('p', content)
        for way, options in (('wb', {}), ('ab', {}), ('wb', {'before': b'head'})):
            with open(self.dir / 'out', way) as f:
                f.write(options.get('before', b''))
                f.flush()
                self.tarn('dump', 'posix:/p', stdout=f)
            self.assertEqual((self.dir / 'out').read_bytes(), options.get('before', b'') + content)
            os.unlink(self.dir / 'out')
        path = self.write('stale', b'y' * (SIZE + 10))
        with open(path, 'r+b') as f:  # holes over what is there already
            self.tarn('dump', 'posix:/p', stdout=f)
        self.assertEqual(path.read_bytes(), content + b'y' * 10)

    def test_holes_of_sysv_stay_holes(self):
        content = image()
        key, number = self.filled_sysv(content, 0o604)
        before = sysv_line(number)['rss']
        for uid in [None, NOBODY] if ROOT else [None]:  # others have no file behind the mapping
            with open(self.dir / f'd{uid}', 'wb') as f:
                self.tarn('dump', f'sysv:{key}', stdout=f, uid=uid)
            self.assertEqual((self.dir / f'd{uid}').read_bytes(), content)
            if sysv_line(number)['swap'] == '0':
                self.assertEqual(sysv_line(number)['rss'], before)

    def test_there_already(self):
        content = image()
        self.write('p', content)
        self.write('old', b'old' * 10)
        self.tarn('cp', 'posix:/p', 'posix:/old', status=1, says='File exists')
        self.tarn('load', self.dir / 'p', 'posix:/old', status=1)
        self.tarn('dump', 'posix:/p', self.dir / 'old', status=1)
        self.tarn('cp', 'posix:/p', 'posix:/old', '--overwrite', status=1, says='30 bytes')
        self.tarn('load', '--overwrite', 'posix:/none', input=b'x', status=1)
        self.assertEqual((self.dir / 'old').read_bytes(), b'old' * 10)
        self.tarn('dump', '--overwrite', 'posix:/p', self.dir / 'old')
        self.assertEqual((self.dir / 'old').read_bytes(), content)
        key, number = self.filled_sysv(b'a')
        self.tarn('cp', 'posix:/p', f'sysv:{key}', status=1)
        self.tarn('cp', 'posix:/p', 'memfd:new', status=2)
        self.assertEqual(self.entries(), ['old', 'p'])
        self.assertEqual(sysv_line(number)['size'], '1')

    def test_overwriting(self):
        content = image()
        self.write('p', content)
        self.write('t', b'y' * SIZE)
        key, _ = self.filled_sysv(b'y' * SIZE)
        fd = self.filled_memfd('t', b'y' * SIZE)
        inode = (self.dir / 't').stat().st_ino
        for target, read in (('posix:/t', lambda: (self.dir / 't').read_bytes()), (f'sysv:{key}', lambda: self.bytes_of(f'sysv:{key}')),
                             (f'/proc/{ME}/fd/{fd}', lambda: os.pread(fd, SIZE + 1, 0))):
            self.tarn('cp', '--overwrite', 'posix:/p', target)
            self.assertEqual(read(), content, target)
        self.assertEqual((self.dir / 't').stat().st_ino, inode)
        self.assertLess((self.dir / 't').stat().st_blocks * 512, 100000)
        self.write('u', b'y' * SIZE)
        self.tarn('load', '--overwrite', 'posix:/u', input=content)
        self.assertEqual((self.dir / 'u').read_bytes(), content)
        self.tarn('load', '--overwrite', 'posix:/u', input=content[:1000], status=3, says='fewer bytes')
        self.tarn('load', '--overwrite', 'posix:/u', input=content + b'x', status=3, says='more bytes')
        self.tarn('cp', '--overwrite', 'posix:/u', f'file:{self.dir}/u', status=3, says='same object')
        fcntl.fcntl(sealed := self.filled_memfd('s', b'y' * SIZE, os.MFD_ALLOW_SEALING), F_ADD_SEALS, SEAL_WRITE)
        self.tarn('cp', '--overwrite', 'posix:/p', f'/proc/{ME}/fd/{sealed}', status=3)
        self.assertEqual(os.pread(sealed, SIZE + 1, 0), b'y' * SIZE)

    def test_deleted(self):
        content = image()
        path = self.write('gone', content)
        with open(path, 'r+b') as f:
            self.map(f.fileno(), SIZE)
            os.unlink(path)
            if not ROOT:
                self.skipTest('whoever maps it has no descriptor, and only root follows map_files')
            self.tarn('dump', 'posix:/gone', self.dir / 'd')
        self.assertEqual((self.dir / 'd').read_bytes(), content)

    @unittest.skipUnless(ROOT, 'becomes somebody else')
    def test_no_rights(self):
        self.write('p', b'secret')
        key, _ = self.filled_sysv(b'secret')
        fd = self.filled_memfd('m', b'secret')
        for source in ('posix:/p', f'sysv:{key}', f'/proc/{ME}/fd/{fd}'):
            self.assertEqual(self.tarn('dump', source, uid=NOBODY, status=3), '')
            self.assertIn('ermi', self.err)
        self.tarn('load', 'posix:/q', uid=NOBODY, input=b'x', status=3)
        self.tarn('cp', '--overwrite', 'posix:/p', f'sysv:{key}', uid=NOBODY, status=3)
        self.assertEqual(self.entries(), ['p'])

    # ---- without room, interrupted, killed ----

    def small(self, script, *arguments):
        """A shell in a mount namespace of its own, in which TARN_SHM_DIR is a tmpfs of 1 MiB."""
        (self.dir / 'small').mkdir(exist_ok=True)
        code = f'mount -t tmpfs -o size=1m none "$TARN_SHM_DIR" || exit 77\n{script}'
        env = dict(self.env, TARN_SHM_DIR=str(self.dir / 'small'))
        r = subprocess.run(['unshare', '-m' if ROOT else '-mr', 'bash', '-c', code, 'bash', self.TARN, *arguments], env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        if r.returncode == 77 or b'unshare' in r.stderr:
            self.skipTest('no mount namespaces here')
        return r.stdout.decode().split('\n'), r.stderr.decode()

    def test_a_full_tmpfs(self):
        big = self.write('big', os.urandom(2 << 20))
        out, err = self.small('''
            "$1" load "$2" posix:/a; echo $? $(ls -A "$TARN_SHM_DIR" | wc -l)
            "$1" load posix:/a < <(cat "$2"); echo $? $(ls -A "$TARN_SHM_DIR" | wc -l)
            "$1" cp file:"$2" posix:/a; echo $? $(ls -A "$TARN_SHM_DIR" | wc -l)
            truncate -s 2M "$TARN_SHM_DIR/old"; printf old | dd of="$TARN_SHM_DIR/old" conv=notrunc status=none
            "$1" cp --overwrite file:"$2" posix:/old; echo $? $(head -c 3 "$TARN_SHM_DIR/old")
            "$1" load --commit --size 2M posix:/b < /dev/null; echo $? $(ls -A "$TARN_SHM_DIR")
            "$1" load --size 2M posix:/b < /dev/null; echo $? $(stat -c %s "$TARN_SHM_DIR/b")
            ''', big)
        self.assertEqual(out[:-1], ['3 0', '3 0', '3 0', '3 old', '3 old', '0 2097152'])
        self.assertEqual(err.count('no room: its file system has 1.0M, and '), 5, err)

    def stalled(self, *arguments):
        """It has read a part of its input, and waits for the rest."""
        p = subprocess.Popen([self.TARN, *arguments], env=self.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # also under nohup
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdin.close(), p.stderr.close()))
        os.write(p.stdin.fileno(), b'x' * 5000)
        self.until(lambda: self.is_sleeping(p) and not fcntl.ioctl(p.stdin.fileno(), 0x541B, b'\0' * 4)[0], 'the input is read')
        return p

    @staticmethod
    def is_sleeping(p):
        return pathlib.Path(f'/proc/{p.pid}/stat').read_text().rsplit(')', 1)[1].split()[0] == 'S'

    def test_interrupted_and_killed(self):
        for signal_number, status in ((signal.SIGINT, 3), (signal.SIGHUP, 3), (signal.SIGKILL, -9)):
            p = self.stalled('load', 'posix:/half')
            self.assertEqual(self.entries(), [])
            p.send_signal(signal_number)
            self.assertEqual(p.wait(timeout=60), status)
            self.assertEqual(self.entries(), [])
            self.assertEqual(b'not made' in p.stderr.read(), status == 3)
        key = self.key()
        p = self.stalled('load', '--size', '1M', f'sysv:{key}')
        self.assertEqual(int(sysv_line(sysv_id(key))['perms'], 8) & 0o777, 0)  # nobody gets half of it
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(timeout=60), 3)
        self.assertIsNone(sysv_id(key))

    def test_a_dump_is_interrupted(self):
        self.write('p', b'x' * (4 << 20))
        p = subprocess.Popen([self.TARN, 'dump', 'posix:/p'], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.stdout.close(), p.stderr.close()))
        self.until(lambda: self.is_sleeping(p) and fcntl.ioctl(p.stdout.fileno(), 0x541B, b'\0' * 4) != b'\0' * 4, 'the pipe is full')
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(timeout=60), 3)
        self.assertIn(b'not whole', p.stderr.read())

    # ---- segments of ours ----

    def run_tarn(self, *arguments):
        """Its complaints, of a success that has some."""
        r = subprocess.run([self.TARN, *arguments], env=self.env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stderr.decode()

    def test_a_live_segment(self):
        p = self.hold('posix:/live', 'x')
        image_path = self.dir / 'image'
        self.assertIn('1 participant is in it and not stopped', self.run_tarn('dump', 'posix:/live', image_path))
        self.tarn('load', '--overwrite', image_path, 'posix:/live', status=3, says='takes part')
        p.send_signal(signal.SIGSTOP)
        self.until(lambda: self.who('posix:/live')['participants'][0]['state'] == 'stopped', 'it is stopped')
        image_path.unlink()
        said = self.run_tarn('cp', 'posix:/live', f'file:{image_path}')
        self.assertNotIn('warning', said)
        self.assertIn('--repair', said)
        p.send_signal(signal.SIGCONT)
        self.tarn('check', '--repair', f'file:{image_path}')
        self.tarn('cp', f'file:{image_path}', 'posix:/then')
        told = self.json('info', 'posix:/then')
        self.assertEqual((told['participants']['list'], [n['name'] for n in told['names']]), ([], ['x']))
        self.tarn('check', 'posix:/then')
        self.assertEqual(len(self.json('info', 'posix:/live')['participants']['list']), 1)

    def test_nobodys_segment(self):
        self.tarn('create', 'posix:/s')
        self.tarn('cp', 'posix:/s', 'posix:/t')
        self.tarn('check', 'posix:/t')
        key = self.key()
        self.tarn('cp', 'posix:/s', f'sysv:{key}')
        for command in 'check', 'info':
            self.tarn(command, f'sysv:{key}', status=1, says='System V memory cannot grow')
        self.tarn('cp', f'sysv:{key}', 'posix:/u')
        self.assertEqual(self.bytes_of('posix:/u'), self.bytes_of('posix:/s'))
        self.tarn('check', 'posix:/u')


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *CASES])
