#!/usr/bin/env python3
"""tarn ls and tarn who, on real shared memory of each kind, of this machine. usage: test_machine.py TARN HOLDER TOP [unittest arguments]

Other tests run at the same time, and other programs: each looks for what it has made itself.
"""
import ctypes
import json
import mmap
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time
import unittest
from multiprocessing import resource_tracker, shared_memory

import machine
from machine import IPC_RMID, NOBODY, SHM_LOCK, SHM_RDONLY, faults, libc

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
TOP = pathlib.Path(sys.argv[3])
ME, PAGE = os.getpid(), mmap.PAGESIZE
CASES = sys.argv[4:]
ROOT = os.getuid() == 0  # who follows /proc/PID/map_files


def proc_sysvipc():
    """{id: {column: number}}"""
    head, *lines = pathlib.Path('/proc/sysvipc/shm').read_text().splitlines()
    rows = [dict(zip(head.split(), line.split())) for line in lines]
    return {int(r['shmid']): r for r in rows}


def rounded(size):
    return (size + PAGE - 1) // PAGE * PAGE


class Kinds(machine.Case):
    """One object of each kind, by all that is told of it."""

    def expect(self, told, **wanted):
        self.assertEqual({k: told[k] for k in wanted}, wanted)

    def test_sysv(self):
        key = 0x74000000 | ME
        keyed = self.sysv(key, 100000, 0o640, touch=50000)
        free = self.sysv(0, 5000, attach=False)
        objects = {o['id']: o for o in self.ls('--kind', 'sysv')}
        mine = objects[str(keyed)]
        self.expect(mine, kind='sysv', key=hex(key), name=f'sysv:{key:#x}', size=100000, res=rounded(50000), swap=0, mode='0640', uid=os.getuid(), procs=1, nattch=1,
                    cpid=ME, lpid=ME, creator='live', command=pathlib.Path('/proc/self/comm').read_text().strip(), state=None, where=None, path=None)
        self.expect(objects[str(free)], key=None, name=f'shmid:{free}', size=5000, procs=0, nattch=0, used=None)
        row = proc_sysvipc()[keyed]
        self.expect(mine, created=int(row['ctime']), used=int(row['atime']), gid=int(row['gid']))

    def test_sysv_removed_or_locked(self):
        number = self.sysv(0x75000000 | ME, 4096, touch=1)
        libc.shmctl(number, IPC_RMID, None)
        locked = self.sysv(0, 4096, attach=False)
        lock = libc.shmctl(locked, SHM_LOCK, None)
        objects = {o['id']: o for o in self.ls('--kind', 'sysv')}
        self.expect(objects[str(number)], state='deleted', key=None, name=f'shmid:{number}', procs=1, nattch=1)
        self.expect(objects[str(locked)], state=None if lock else 'locked')

    def of_a_dead_creator(self):
        """An id, attached here, so that nobody who cleans takes it away, and the process that made it, which has ended."""
        p = subprocess.Popen([sys.executable, '-c', 'import ctypes; print(ctypes.CDLL(None).shmget(0, 4096, 0o1600))'], stdout=subprocess.PIPE)
        number = int(p.stdout.readline())
        self.addCleanup(libc.shmctl, number, IPC_RMID, None)
        address = libc.shmat(number, None, 0)
        self.addCleanup(libc.shmdt, address)
        p.communicate()
        return number, p.pid

    def test_sysv_creator_is_dead(self):
        number, pid = self.of_a_dead_creator()
        told = {o['id']: o for o in self.ls('--kind', 'sysv')}[str(number)]
        self.expect(told, cpid=pid, creator='dead', command=None)

    def test_sysv_creator_has_only_the_number(self):
        """Another process, started later, has the dead one's number: clone3 with set_tid."""
        number, pid = self.of_a_dead_creator()
        while time.time() < int(proc_sysvipc()[number]['ctime']) + 4:  # start times are told to the second
            time.sleep(0.2)
        tid = ctypes.c_int(pid)
        arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(tid), 1, 0)
        if os.uname().machine != 'x86_64':
            self.skipTest('the number of clone3 is that of x86-64')
        child = libc.syscall(435, arguments, ctypes.sizeof(arguments))
        if child == 0:
            libc.pause()
        if child != pid:
            self.skipTest(f'no process of a chosen number may be made here: {os.strerror(ctypes.get_errno())}')
        try:
            told = {o['id']: o for o in self.ls('--kind', 'sysv')}[str(number)]
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.expect(told, cpid=child, creator='dead', command=None)

    def test_posix(self):
        s = shared_memory.SharedMemory(create=True, size=12345)
        self.addCleanup(s.close)
        self.addCleanup(s.unlink)
        s.buf[0] = 1
        told, stat = self.named('posix:/' + s.name), os.stat('/dev/shm/' + s.name)
        self.expect(told, kind='posix', size=12345, res=stat.st_blocks * 512, mode='0600', uid=os.getuid(), procs=1, nattch=None, made_by='Python',
                    told_by='name', state=None, path='/dev/shm/' + s.name, cpid=None)
        self.assertEqual(told['id'].split(':')[2], str(stat.st_ino))
        born = int(subprocess.run(['stat', '-c', '%W', '/dev/shm/' + s.name], stdout=subprocess.PIPE, check=True).stdout)
        self.assertEqual(told['created'], born or None)
        self.assertEqual(told['used'], max(int(stat.st_mtime), int(stat.st_atime), int(stat.st_ctime)))

    def test_directories_in_it(self):
        deep = self.dir / 'a' / 'b'
        deep.mkdir(parents=True)
        self.file(deep / 'f', 3, touch=3, mapped=False)
        (deep / 'link').symlink_to('f')
        (deep / 'up').symlink_to('..')
        self.expect(self.named(f'file:{deep}/f'), kind='file', size=3, res=PAGE, procs=0, path=f'{deep}/f')
        self.assertEqual([o for o in self.ls() if 'link' in o['name'] or '/up/' in o['name']], [])
        self.ours()
        self.file(self.dir / 'p', 4096, mapped=False)
        self.expect(self.named('posix:/p'), kind='posix', res=0)

    def test_memfd(self):
        label = f'mapped {ME}'
        self.memfd(label, 8192, touch=1)
        self.expect(self.named(f'memfd:{label}'), kind='memfd', size=8192, res=PAGE, procs=1, state=None, mode='0777', path=None)
        opened = f'opened {ME}'
        self.memfd(opened, 1 << 20, touch=1 << 20, mapped=False)
        self.expect(self.named(f'memfd:{opened}'), size=1 << 20, res=1 << 20, procs=1)

    def test_deleted_but_mapped(self):
        self.ours()
        for name in ('gone', 'gone (deleted)', 'gone (deleted) (deleted)'):
            self.file(self.dir / name, 4096, touch=1)
            self.expect(self.named(f'posix:/{name}'), state=None, procs=1)
            os.unlink(self.dir / name)
            self.expect(self.named(f'posix:/{name}'), kind='posix', state='deleted', procs=1, res=PAGE)
        self.assertRegex(self.tarn('ls', '-o', 'STATE,NAME'), r'\ndeleted +posix:/gone\n')
        self.assertEqual({u['name'] for u in self.who('posix:/gone (deleted)')['uses']}, {'posix:/gone (deleted)'})
        self.file(self.dir / 'other', 4096)
        os.unlink(self.dir / 'other')
        self.assertEqual({u['name'] for u in self.who('posix:/other (deleted)')['uses']}, {'posix:/other'})

    def test_file(self):
        path = f'/var/tmp/tarn test {ME}'
        self.file(path, 10000)
        self.expect(self.named(f'file:{path}'), kind='file', size=10000, procs=1, state=None, path=path)
        os.unlink(path)
        self.expect(self.named(f'file:{path}'), size=10000 if ROOT else 3 * PAGE, procs=1, state='deleted', path=None)

    def test_file_by_odd_names(self):
        """Names that the kernel writes in another way, or as another file's would be if it were deleted."""
        for name in ('line\nfeed', 'back\\012slash', 'x (deleted)', 'x'):
            path = f'/var/tmp/tarn test {ME} {name}'
            self.file(path, 10000)
            self.expect(self.named(f'file:{path}'), procs=1, state=None, path=path)
            os.unlink(path)
            gone = [o['state'] for o in self.ls() if o['name'].startswith(f'file:/var/tmp/tarn test {ME} ')]
            self.assertEqual(set(gone), {'deleted'})

    def test_file_of_ours(self):
        """It was made without a name."""
        path = f'/var/tmp/tarn-test-{ME}'
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        p = self.hold(f'file:{path}', 'x')
        self.expect(self.named(f'file:{path}'), kind='file', state=None, made_by='tarn', procs=1, path=path)
        self.assertEqual({u['pid'] for u in self.who(f'file:{path}')['uses']}, {p.pid})
        self.assertEqual(self.who(f'file:{path}')['participants'][0]['pid'], p.pid)

    def test_file_that_is_read_only_shared(self):
        path = f'/var/tmp/tarn test r {ME}'
        self.file(path, 10000, prot=mmap.PROT_READ)
        self.assertNotIn(f'file:{path}', [o['name'] for o in self.ls()])
        self.expect(self.named(f'file:{path}', '-a'), kind='file', procs=1)

    def test_file_that_is_private(self):
        path = f'/var/tmp/tarn test p {ME}'
        self.file(path, 10000, flags=mmap.MAP_PRIVATE)
        self.assertNotIn(f'file:{path}', [o['name'] for o in self.ls('-a')])
        use, = self.who(path)['uses']
        self.assertEqual((use['pid'], use['rights'], use['name']), (ME, 'rw-p', f'file:{path}'))

    def test_anonymous(self):
        m = self.map(-1, 3 * PAGE, touch=2 * PAGE)
        mine = [u for u in self.who('--pid', str(ME))['uses'] if u['kind'] == 'anon' and u['size'] == 3 * PAGE]
        self.assertEqual(len(mine), 1)
        self.expect(self.named(mine[0]['name']), kind='anon', size=3 * PAGE, res=2 * PAGE if ROOT else None, procs=1, state=None)
        dear = self.named(mine[0]['name'], '-o', 'NAME,RES,HUGE')  # the mapping itself tells, if it is asked
        self.assertEqual(dear['res'], 2 * PAGE)
        m.close()

    def test_huge(self):
        free = re.search(r'HugePages_Free: +(\d+)', pathlib.Path('/proc/meminfo').read_text())
        if not free or int(free[1]) < 2:
            self.skipTest('no huge pages were set aside here (vm.nr_hugepages)')
        size = 1024 * int(re.search(r'Hugepagesize: +(\d+)', pathlib.Path('/proc/meminfo').read_text())[1])
        fd = os.memfd_create(f'huge {ME}', 4)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, 2 * size)
        self.map(fd, 2 * size, touch=1)
        self.expect(self.named(f'memfd:huge {ME}', '-o', 'KIND,SIZE,RES,HUGE,NAME'), kind='memfd', size=2 * size, res=size, huge=size)

    def test_who_has_it_only(self):
        """A process whose first thread has ended: its mappings stand below another thread."""
        code = ('import ctypes, mmap, os, threading, time\n'
                f'fd = os.memfd_create("headless {ME}"); os.ftruncate(fd, 4096); m = mmap.mmap(fd, 4096); m[0] = 1\n'
                'threading.Thread(target=ctypes.CDLL(None).pause).start()\n'
                'print(1, flush=True); ctypes.CDLL(None).syscall(60, 0)')
        if os.uname().machine != 'x86_64':
            self.skipTest('the number of exit is that of x86-64')
        p = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        p.stdout.readline()
        self.until(lambda: pathlib.Path(f'/proc/{p.pid}/stat').read_text().split(') ')[1][0] == 'Z', 'its first thread ends')
        self.expect(self.named(f'memfd:headless {ME}'), procs=1, size=4096)
        self.assertEqual({u['pid'] for u in self.who(f'memfd:headless {ME}')['uses']}, {p.pid})

    def test_smaps(self):
        self.memfd(f'dear {ME}', 10 * PAGE, touch=3 * PAGE)
        use, = json.loads(self.tarn('who', '-J', '-o', 'RES,HUGE,ADDRESS,SIZE,FD', f'memfd:dear {ME}'))['uses'][:1]
        self.assertEqual((use['res'], use['size'], use['fd']), (3 * PAGE, 10 * PAGE, None))
        self.assertIsNotNone(use['huge'])

    def test_sums(self):
        """What is told of memory is what /proc and the file system tell."""
        for k in range(20):
            self.sysv(0, 4096 * (k + 1), touch=4096 * k, attach=True)
        for o in self.ls('--kind', 'sysv'):
            if o['where'] is None and int(o['id']) in (rows := proc_sysvipc()) and o['cpid'] == ME:
                row = rows[int(o['id'])]
                self.assertEqual([o[k] for k in ('size', 'res', 'swap', 'nattch', 'cpid', 'uid')],
                                 [int(row[k]) for k in ('size', 'rss', 'swap', 'nattch', 'cpid', 'uid')])
        self.ours()
        for k in range(20):
            self.file(self.dir / str(k), 4096 * k, touch=4096 * (k // 2), mapped=False)
        told = [o for o in self.ls('--kind', 'posix') if o['path'] and o['path'].startswith(f'{self.dir}/')]
        stat = [os.stat(self.dir / str(k)) for k in range(20)]
        self.assertEqual(sum(o['size'] for o in told), sum(s.st_size for s in stat))
        self.assertEqual(sum(o['res'] + o['swap'] for o in told), sum(s.st_blocks * 512 for s in stat))

    def test_mappings_are_those_of_maps(self):
        """Every shared mapping of this process, by address, size, rights and inode."""
        self.memfd(f'maps {ME}', 8192)
        self.sysv(0, 8192, flags=SHM_RDONLY)
        lines = [line.split(None, 5) for line in pathlib.Path('/proc/self/maps').read_text().splitlines()]
        wanted = sorted((*(int(a, 16) for a in f[0].split('-')), f[1]) for f in lines if f[1][3] == 's' and f[5].startswith('/'))
        told = sorted((u['address'], u['end'], u['rights']) for u in self.who('--pid', str(ME))['uses'] if u['fd'] is None)
        self.assertEqual(told, wanted)
        self.assertGreaterEqual(len(wanted), 2)


class Makers(machine.Case):
    def made_by(self, name):
        told = self.named(name)
        return told['made_by'], told['told_by']

    def test_names(self):
        self.ours()
        for maker, names in {
                'Python': ('psm_0123abcd', 'pym-123-abc', 'sem.mp-abcdefgh'), 'PostgreSQL': ('PostgreSQL.1234567',), 'NCCL': ('nccl-Ab12Cd',),
                'Fast-DDS': ('fastrtps_port7410', 'sem.fastrtps_port7410_mutex', 'fastdds_0a1b2c', 'sem.fastdds_port7410_mutex'),
                'iceoryx': ('iceoryx_mgmt', 'iox1_0_i_iceoryx_mgmt'), 'iceoryx2': ('iox2_0a1b.dynamic',),
                'Chromium': ('.org.chromium.Chromium.AbCdEf', '.com.google.Chrome.AbCdEf'), 'Firefox': ('org.mozilla.ipc.123.4',), 'X11': ('shmfd-Ab12Cd',),
                'PulseAudio': ('pulse-shm-1234567',), 'PyTorch': ('torch_123_456_0',), 'joblib': ('sem.loky-1-ab',), 'OpenMPI': ('vader_segment.h.0.1.0',),
                'sem_open': ('sem.anything',),
                None: ('psm_0123abcde', 'psm_xyzxyzxy', 'PostgreSQL.', 'PostgreSQL.12a', 'pulse-shm-x', 'mypsm_0123abcd', 'semaphore', 'NCCL-1')}.items():
            for name in names:
                self.file(self.dir / name, 64, touch=64, mapped=False)
                self.assertEqual(self.made_by(f'posix:/{name}'), (maker, maker and 'name'), name)
        for maker, label in (('PulseAudio', 'pulseaudio'), ('Chromium', 'shared-memory-region'), ('PipeWire', 'pipewire-memfd:flags=0x0000000f,type=2,size=2312'), ('Wayland', 'wayland-cursor'),
                             (None, 'my-pulseaudio')):
            fd = self.memfd(label, 4096)
            inode = os.fstat(fd).st_ino
            told, = [o for o in self.ls('--kind', 'memfd') if o['id'].endswith(f':{inode}')]
            self.assertEqual(told['made_by'], maker)

    def test_tarn(self):
        """By its magic number: in a file, in a memfd, and in System V memory that somebody maps."""
        self.ours()
        key = 0x76000000 | ME
        for url in ('posix:/a', 'memfd:label of tarn', f'sysv:{key:#x}'):
            self.hold(url, 'x')
            if url.startswith('sysv'):
                number = libc.shmget(key, 0, 0)
                self.addCleanup(libc.shmctl, number, IPC_RMID, None)
            told = self.named(url)
            if url.startswith('sysv') and not os.access('/proc/1/pagemap', os.R_OK):
                continue
            self.assertEqual((told['made_by'], told['told_by']), ('tarn', 'bytes'), url)

    def test_bytes(self):
        self.ours()
        boost = struct.pack('<Q96xQ', 2, 65536 - 16)
        for content, maker in ((boost, 'Boost'), (struct.pack('<Q96xQ', 2, 65536), None), (struct.pack('<Q96xQ', 3, 65520), None),
                               (struct.pack('<II', 679834894, 0), None)):
            path = self.dir / 'b'
            path.write_bytes(content)
            os.truncate(path, 65536)
            self.assertEqual(self.made_by('posix:/b')[0], maker)
        header = struct.pack('<iiQ40x', 679834894, ME, 1 << 27)  # PostgreSQL's: larger than this id, for it counts other memory too
        number = self.sysv(0, 56)
        address = libc.shmat(number, None, 0)
        self.addCleanup(libc.shmdt, address)
        ctypes.memmove(address, header, 56)
        self.assertEqual(self.made_by(f'shmid:{number}'), ('PostgreSQL', 'bytes'))

    def test_no_time_is_changed(self):
        """Looking inside leaves the time of access, and makes no page."""
        self.ours()
        path = self.dir / 'a'
        self.file(path, 1 << 20, mapped=False)
        os.pwrite(fd := os.open(path, os.O_RDWR), b'x', 1 << 19)
        os.close(fd)
        os.utime(path, ns=(10 ** 18, 10 ** 18 + 1))
        number = self.sysv(0, 1 << 20, attach=False)
        address = libc.shmat(number, None, 0)
        self.addCleanup(libc.shmdt, address)
        ctypes.memset(address + (1 << 19), 1, 1)
        before, row = os.stat(path), proc_sysvipc()[number]
        self.assertNotEqual(row['rss'], '0')
        self.named('posix:/a')
        self.named(f'shmid:{number}')
        self.who('posix:/a', f'shmid:{number}')
        after = os.stat(path)
        self.assertEqual((after.st_atime_ns, after.st_mtime_ns, after.st_ctime_ns, after.st_blocks),
                         (before.st_atime_ns, before.st_mtime_ns, before.st_ctime_ns, before.st_blocks))
        self.assertEqual(proc_sysvipc()[number], row)


class Output(machine.Case):
    NASTY = [b'\x1b[31mred\x1b[0m', b'a\nb', b'\\x1b', b'\\012', b'\xff\xfe', 'bidi \u202e \u2066'.encode(), b'"quotes\\"', 'gr\u00fc\u00df'.encode(), b'c1 \xc2\x9b2J', b' blanks  ',
             b'y' * 255, b'\xe2\x80', b'tab\tbell\x07\x7f']

    def test_hostile_names(self):
        self.ours()
        for name in self.NASTY:
            self.file(os.fsencode(self.dir) + b'/' + name, 1, touch=1, mapped=False)
        wanted = sorted('posix:/' + re.sub('[\udc80-\udcff]', '\ufffd', os.fsdecode(name)) for name in self.NASTY)
        objects = [o for o in self.ls('--kind', 'posix') if o['path'] and o['path'].startswith(f'{self.dir}/')]
        self.assertEqual(sorted(o['name'] for o in objects), wanted)
        for arguments in ([], ['--raw']):
            text = self.tarn('ls', '--kind', 'posix', '--no-headings', '-o', 'KIND,NAME', *arguments)
            for character in text.replace('\n', ''):
                self.assertTrue(character.isprintable(), repr(character))
            lines = [line for line in text.splitlines() if line.startswith('posix posix:/')]
            self.assertGreaterEqual(len(lines), len(self.NASTY))
        raw = [line.split(' ') for line in self.tarn('ls', '--raw', '--no-headings', '-o', 'NAME,SIZE').splitlines()]
        self.assertEqual({len(fields) for fields in raw}, {2})
        decoded = [re.sub(rb'\\x(..)', lambda m: bytes([int(m[1], 16)]), name.encode()) for name, _ in raw]
        for name in self.NASTY:  # each can be had back
            self.assertIn(b'posix:/' + name, decoded)
        table = self.tarn('ls', '-o', 'NAME')
        self.assertIn('posix:/\\x1b[31mred\\x1b[0m\n', table)
        self.assertIn('posix:/\\x5cx1b\n', table)
        self.assertIn('posix:/gr\u00fc\u00df\n', table)
        self.assertIn('posix:/' + 'y' * 255 + '\n', table)

    def test_hostile_memfd_and_command(self):
        label = 'm' * 230 + '\x1b]0;t\x07'
        self.memfd(label, 4096)
        self.named(f'memfd:{label}')
        self.assertNotIn('\x1b', self.tarn('ls'))
        code = ('import ctypes, mmap, os, sys\nctypes.CDLL(None).prctl(15, b"\\x1b[5m) \\n\\xff", 0, 0, 0)\n'
                f'fd = os.memfd_create("evil {ME}"); os.ftruncate(fd, 4096); m = mmap.mmap(fd, 4096); print(1, flush=True); sys.stdin.read()')
        p = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        p.stdout.readline()
        use = self.who(f'memfd:evil {ME}')['uses'][0]
        self.assertEqual((use['pid'], use['command'], use['state']), (p.pid, '\x1b[5m) \n\ufffd', 'live'))
        self.assertNotIn('\x1b', self.tarn('who', f'memfd:evil {ME}'))

    def test_schema(self):
        self.ours()
        self.file(self.dir / 'a', 4096)
        self.sysv(0, 4096)
        self.memfd('x', 4096)
        self.hold('posix:/seg', 'x')
        self.assertEqual(faults(self.json('ls', '-a'), machine.LS), [])
        who = self.who('posix:/a', 'memfd:x', 'posix:/seg')
        self.assertEqual(faults(who, machine.WHO), [])
        self.assertEqual(len(who['participants']), 1)
        self.assertEqual(faults(self.who('--pid', str(ME)), machine.WHO), [])
        self.assertEqual(len(faults({'objects': [{}]}, machine.LS)), 1)  # it can find some
        wrong = self.json('ls')
        wrong['objects'][0]['size'] = -1
        self.assertEqual(len(faults(wrong, machine.LS)), 1)

    def test_columns(self):
        self.sysv(0, 4096)
        self.assertEqual(list(self.ls('-o', 'name,SIZE,made-by')[0]), ['name', 'size', 'made_by'])
        help_text = self.tarn('ls', '--help')
        columns = re.findall(r'^[* ] ([A-Z-]+) ', help_text[help_text.index('Columns'):], re.M)
        shown = re.findall(r'^\* ([A-Z-]+) ', help_text[help_text.index('Columns'):], re.M)
        self.assertGreaterEqual(len(columns), 25)
        self.assertEqual(self.tarn('ls').splitlines()[0].split(), shown)
        self.assertEqual(self.tarn('ls', '-o', 'all').splitlines()[0].split(), columns)
        self.assertEqual(self.tarn('ls', '-o', '+KEY').splitlines()[0].split(), shown + ['KEY'])
        self.assertEqual(self.tarn('ls', '-o', 'KEY,KEY,ID').splitlines()[0].split(), ['KEY', 'ID'])
        self.assertEqual(self.tarn('who', '--pid', str(ME)).splitlines()[0].split(),
                         ['PID', 'NSPID', 'USER', 'RIGHTS', 'ADDRESS', 'SIZE', 'FD', 'COMMAND', 'NAME'])
        self.assertFalse(self.tarn('ls', '--no-headings', '-o', 'KIND').startswith('KIND'))

    def test_sort_and_sizes(self):
        self.ours()
        for name, size in (('b', 1536), ('a', 3 << 20), ('c', 700)):
            self.file(self.dir / name, size, mapped=False)
        order = lambda *arguments: [o['name'][-1] for o in self.ls('--kind', 'posix', *arguments) if re.fullmatch('posix:/[abc]', o['name'])]
        self.assertEqual(order(), ['a', 'b', 'c'])
        self.assertEqual(order('--sort', 'SIZE'), ['a', 'b', 'c'])
        self.assertEqual(order('--sort', '-size'), ['c', 'b', 'a'])
        self.assertEqual(order('--sort', '-NAME'), ['c', 'b', 'a'])
        for arguments, sizes in (((), ['3M', '1.5K', '700B']), (('-b',), ['3145728', '1536', '700']), (('--raw',), ['3145728', '1536', '700'])):
            text = self.tarn('ls', '--kind', 'posix', '-o', 'SIZE,NAME', *arguments)
            self.assertEqual([re.search(rf'^ *(\S+) posix:/{name}$', text, re.M)[1] for name in 'abc'], sizes)

    def test_kinds(self):
        self.sysv(0, 4096)
        self.memfd('x', 4096)
        self.assertEqual({o['kind'] for o in self.ls('--kind', 'sysv')}, {'sysv'})
        self.assertEqual({o['kind'] for o in self.ls('--kind', 'memfd,sysv')}, {'sysv', 'memfd'})
        self.assertEqual({o['kind'] for o in self.ls('--kind', 'memfd', '--kind', 'sysv')}, {'sysv', 'memfd'})

    def test_nothing_is_coloured(self):
        text = machine.on_terminal(lambda to: self.tarn('ls', stdout=to))
        self.assertIn(b'NAME', text)
        self.assertNotIn(b'\x1b', text)

    def test_wrong_usage(self):
        for arguments, status, says in (
                (['ls', 'posix:/a'], 2, 'takes no URL'), (['ls', '-o', 'NAME,SIZES'], 2, '"SIZES" is no column'), (['ls', '-o', ''], 2, '"" is no column'),
                (['ls', '--sort', 'X'], 2, '"X" is no column'), (['ls', '--kind', 'shm'], 2, '"shm" is no kind'), (['ls', '--kind', ''], 2, '"" is no kind'),
                (['ls', '-J', '--raw'], 2, 'one of them'), (['ls', '-q'], 2, '-q is no option'), (['who'], 2, 'no URL'), (['who', '--pid', 'x'], 2, 'number of a process'),
                (['who', '--pid', '0'], 2, 'number of a process'), (['who', '--pid', '1', 'posix:/a'], 2, 'one of them'),
                (['who', '--participants', '--pid', '1'], 2, 'of which segment'), (['who', 'posix:/none at all'], 1, 'there is none'),
                (['who', 'sysv:0x7fffff01'], 1, 'there is none'), (['who', 'shmid:2000000000'], 1, 'there is none'), (['who', 'sysv:x'], 1, 'there is none'),
                (['who', 'file:/none'], 1, 'there is none'), (['who', '/none'], 1, 'there is none'), (['who', '00:00:1'], 1, 'there is none'),
                (['who', 'fd:99'], 1, 'there is none'), (['who', 'nonsense'], 1, 'there is none'), (['who', ''], 1, 'there is none'),
                (['who', '--pid', '2147483647'], 1, 'no process'), (['who', '--participants', '-o', 'RIGHTS', 'posix:/a'], 2, '"RIGHTS" is no column')):
            with self.subTest(arguments):
                self.assertEqual(self.tarn(*arguments, status=status, says=says), '')
        with open('/dev/full', 'w') as full:
            self.tarn('ls', stdout=full, status=3, says='could not be written')

    def test_completion(self):
        """Its commands are those of --help; what it offers comes from the command; names in /dev/shm are never expanded."""
        script = TOP / 'tool' / 'completion' / 'tarn'
        listed = re.search(r'commands=\(([^)]*)\)', script.read_text())[1].split()
        self.assertEqual(listed, re.findall(r'^  ([a-z]+) ', self.tarn('--help'), re.M))
        self.ours()
        self.file(self.dir / 'plain-1', 1, mapped=False)
        self.file(self.dir / 'plain-$(echo x >&3)', 1, mapped=False)

        def complete(line, breaks=' :'):
            code = (f'source "$1"; COMP_WORDBREAKS="{breaks}"; COMP_LINE=$2 COMP_POINT=${{#2}}; read -ra COMP_WORDS <<<"$2"; [[ $2 != *" " ]] || COMP_WORDS+=("");'
                    'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tarn; printf "%s\\n" "${COMPREPLY[@]}"')
            env = dict(self.env, PATH=f'{os.path.dirname(self.TARN)}:{os.environ["PATH"]}')
            return subprocess.run(['bash', '-c', code, 'bash', script, line], env=env, stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode().split()

        self.assertEqual(complete('tarn c'), ['cp', 'create', 'check', 'call'])
        self.assertEqual(complete('tarn dump posix:/plain', ' '), ['posix:/plain-1'])
        self.assertEqual(complete('tarn perms --seal gr'), ['grow'])
        self.assertEqual(complete('tarn top -o GR'), ['GROWTH'])
        self.assertEqual(complete('tarn who posix:/plain'), ['/plain-1'])
        self.assertEqual(complete('tarn who posix:/plain', ' '), ['posix:/plain-1'])
        self.assertIn('--participants', complete('tarn who --p'))
        self.assertEqual(complete('tarn ls -o MA'), ['MADE-BY'])
        self.assertEqual(complete('tarn ls --kind me'), ['memfd'])
        self.assertIn(str(ME), complete('tarn who --pid '))


class Who(machine.Case):
    def test_rights(self):
        self.ours()
        path = self.dir / 'a'
        self.file(path, 4 * PAGE)
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.map(fd, PAGE, prot=mmap.PROT_READ, offset=PAGE)
        self.map(fd, PAGE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        self.map(fd, PAGE, flags=mmap.MAP_PRIVATE)
        uses = self.who('posix:/a')['uses']
        self.assertEqual({u['pid'] for u in uses}, {ME})
        self.assertEqual(sorted((u['rights'], u['offset'], u['size']) for u in uses if u['fd'] is None),
                         sorted([('rw-s', 0, 4 * PAGE), ('r--s', PAGE, PAGE), ('r-xs', 0, PAGE), ('rw-p', 0, PAGE)]))
        self.assertIn((fd, 'r--'), [(u['fd'], u['rights']) for u in uses])
        self.assertEqual(self.who(str(path))['uses'], uses)
        self.assertEqual(self.who(f'file:{path}')['uses'], uses)
        self.assertEqual(self.who(f'/proc/{ME}/fd/{fd}')['uses'], uses)
        self.assertEqual(self.who(self.named('posix:/a')['id'])['uses'], uses)
        mine = self.who(f'fd:{fd}', pass_fds=[fd])['uses']
        self.assertEqual(mine, uses)

    def test_nobody_has_it(self):
        self.ours()
        self.file(self.dir / 'a', 1, mapped=False)
        number = self.sysv(0, 4096, attach=False)
        for url in ('posix:/a', f'shmid:{number}', f'{self.dir}/a'):
            self.assertEqual(self.who(url), {'uses': [], 'participants': []})
        self.assertEqual(self.tarn('who', 'posix:/a').split(), ['PID', 'NSPID', 'USER', 'RIGHTS', 'ADDRESS', 'SIZE', 'FD', 'COMMAND'])

    def test_several_of_one_name(self):
        for _ in range(2):
            self.memfd(f'twins {ME}', 4096)
        uses = self.who(f'memfd:twins {ME}')['uses']
        self.assertEqual(len({u['id'] for u in uses}), 2)
        self.assertIn('NAME', self.tarn('who', f'memfd:twins {ME}').splitlines()[0])
        self.assertEqual({u['id'] for u in self.who(uses[0]['id'])['uses']}, {uses[0]['id']})

    def test_a_program(self):
        self.assertIn(ME, {u['pid'] for u in self.who(os.path.realpath(sys.executable))['uses']})

    def participant(self, url):
        who = self.who(url)
        self.assertEqual(faults(who, machine.WHO), [])
        return who['participants']

    def test_participants(self):
        self.ours()
        p = self.hold('posix:/a', 'x')
        one, = self.participant('posix:/a')
        self.assertEqual([one[k] for k in ('pid', 'tid', 'nspid', 'state', 'section', 'locks', 'waits_for', 'command', 'name')],
                         [p.pid, p.pid, p.pid, 'live', True, 1, None, 'holder', 'posix:/a'])
        p.send_signal(signal.SIGSTOP)
        self.until(lambda: self.participant('posix:/a')[0]['state'] == 'stopped', 'it stops')
        self.assertEqual({u['state'] for u in self.who('posix:/a')['uses']}, {'stopped'})
        text = self.tarn('who', 'posix:/a')
        self.assertRegex(text, rf'\n\nPARTICIPANT.*\n +0x1 +{p.pid} +{p.pid} stopped \S+ yes +1 mutex x +- +- holder\n')
        p.kill()
        p.wait()
        one, = self.participant('posix:/a')
        self.assertEqual((one['state'], one['pid'], one['command'], self.who('posix:/a')['uses']), ('dead', p.pid, None, []))
        raw = self.tarn('who', '--participants', '--raw', '--no-headings', '-o', 'STATE,PID,LOCKS', 'posix:/a')
        self.assertEqual(raw, f'dead {p.pid} 1\n')
        self.assertEqual(self.tarn('who', '--raw', '--no-headings', 'posix:/a'), '')

    def test_who_waits_for_whom(self):
        self.ours()
        first = self.hold('posix:/a', 'x')
        second = self.hold('posix:/a', 'x', wait=False)
        waiting = self.until(lambda: [p for p in self.participant('posix:/a') if p['waits_for']], 'the second waits')[0]
        holder, = [p for p in self.participant('posix:/a') if not p['waits_for']]
        self.assertEqual((waiting['pid'], holder['pid']), (second.pid, first.pid))
        self.assertEqual((waiting['holder'], waiting['what'], waiting['timed'], waiting['circle']), (holder['participant'], 'mutex or rwlock', False, None))

    def test_participants_by_descriptor(self):
        p = self.hold(f'memfd:segment {ME}', 'x')
        one, = self.participant(f'memfd:segment {ME}')
        self.assertEqual((one['pid'], one['state']), (p.pid, 'live'))
        self.ours()
        p = self.hold('posix:/gone', 'x')
        inode = os.stat(self.dir / 'gone').st_ino
        os.unlink(self.dir / 'gone')
        self.assertEqual(self.participant(f'posix:/#{inode}')[0]['pid'], p.pid)  # it was made without a name, and the kernel knows no other

    def test_participants_of_sysv(self):
        key = 0x77000000 | ME
        p = self.hold(f'sysv:{key:#x}', 'x')
        self.addCleanup(libc.shmctl, libc.shmget(key, 0, 0), IPC_RMID, None)
        self.assertEqual(self.participant(f'sysv:{key:#x}')[0]['pid'], p.pid)
        p.kill()
        p.wait()
        one, = self.participant(f'sysv:{key}')  # nobody maps it any more
        self.assertEqual((one['state'], one['locks']), ('dead', 1))


class Elsewhere(machine.Case):
    """Other namespaces and other users."""

    def test_pid_namespace(self):
        self.ours()
        outer = self.hold('posix:/a', 'x', before=('unshare', '--pid', '--fork', '--kill-child'))
        pid = int(pathlib.Path(f'/proc/{outer.pid}/task/{outer.pid}/children').read_text())
        who = self.who('posix:/a')
        self.assertEqual({(u['pid'], u['nspid']) for u in who['uses']}, {(pid, 1)})
        one, = who['participants']
        self.assertEqual([one[k] for k in ('pid', 'tid', 'nspid', 'nstid', 'state', 'command')], [pid, pid, 1, 1, 'live', 'holder'])

    CONTAINER = '''
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p
loose, held = libc.shmget(0, 5000, 0o1600), libc.shmget(77, 4096, 0o1640)
libc.shmat(held, None, 0)
open('/dev/shm/inside', 'w').write('hi')
for name in ('mapped', 'gone'):
    f = os.open('/dev/shm/' + name, os.O_CREAT | os.O_RDWR, 0o600); os.ftruncate(f, 4096)
    globals()[name] = mmap.mmap(f, 4096)
os.unlink('/dev/shm/gone')
print(loose, held, flush=True); sys.stdin.read()
'''

    def test_container(self):
        code = f'mount -t tmpfs -o size=1M none /dev/shm && exec {sys.executable} -c "$CODE"'
        p = subprocess.Popen(['unshare', '--ipc', '--mount', 'sh', '-c', code], env=dict(self.env, CODE=self.CONTAINER), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(self.release, p)
        ids = p.stdout.readline().split()
        if not ids:
            self.skipTest('no namespaces may be made here')
        loose, held = (int(i) for i in ids)
        shm = f'/proc/{p.pid}/root/dev/shm'
        names = {o['name']: o for o in self.ls() if o['where'] == p.pid}
        self.assertEqual(set(names), {f'shmid:{loose}@{p.pid}', f'shmid:{held}@{p.pid}', f'{shm}/inside', f'{shm}/mapped', f'{shm}/gone'})
        told = names[f'shmid:{held}@{p.pid}']
        self.assertEqual([told[k] for k in ('kind', 'key', 'mode', 'nattch', 'procs', 'cpid')], ['sysv', '0x4d', '0640', 1, 1, p.pid])
        self.assertEqual([names[f'{shm}/{n}'][k] for n in ('inside', 'gone') for k in ('kind', 'state', 'procs')], ['posix', None, 0, 'posix', 'deleted', 1])
        for name in (f'shmid:{held}@{p.pid}', f'{shm}/mapped', f'{shm}/gone'):
            self.assertEqual({u['pid'] for u in self.who(name)['uses']}, {p.pid}, name)
        self.assertEqual(self.who(f'{shm}/inside')['uses'], [])
        self.assertEqual(libc.shmget(77, 0, 0), -1)  # so that "elsewhere" was true; and the command came back
        self.assertEqual(faults(self.json('ls'), machine.LS), [])

    def test_without_rights(self):
        if os.getuid() != 0:
            self.skipTest('only root may become nobody')
        self.ours()
        self.dir.chmod(0o777)
        self.hold('posix:/theirs', 'x')
        self.memfd(f'hidden {ME}', 4096)
        number = self.sysv(0, 4096)
        code = (f'import mmap, os, sys; fd = os.memfd_create("seen {ME}"); os.ftruncate(fd, 4096); m = mmap.mmap(fd, 4096); n = mmap.mmap(-1, 8192);'
                'print(1, flush=True); sys.stdin.read()')
        p = subprocess.Popen(['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--', sys.executable, '-c', code],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        p.stdout.readline()
        objects = self.ls(uid=NOBODY)
        unread, all_of_them = (int(n) for n in re.search(r'tarn ls: (\d+) of (\d+) processes may not be looked at', self.err).groups())
        self.assertTrue(1 <= unread < all_of_them, self.err)
        self.count_all()
        self.assertLessEqual(len(self.err.splitlines()), 2, self.err)  # also of IPC namespaces, if another program has made some
        self.assertEqual(faults({'objects': objects}, machine.LS), [])
        by_name = {o['name']: o for o in objects}
        self.assertEqual((by_name[f'memfd:seen {ME}']['procs'], by_name[f'memfd:seen {ME}']['size']), (1, 4096))
        self.assertNotIn(f'memfd:hidden {ME}', by_name)
        self.assertEqual([by_name['posix:/theirs'][k] for k in ('procs', 'made_by', 'mode')], [0, None, '0600'])
        self.assertEqual([by_name[f'shmid:{number}'][k] for k in ('procs', 'nattch', 'size')], [0, 1, 4096])
        anon, = [o for o in objects if o['kind'] == 'anon' and o['size'] == 8192]  # of which only the mapping is known
        self.assertEqual([anon[k] for k in ('res', 'mode', 'owner', 'procs')], [None, None, None, 1])
        self.tarn('who', '--pid', str(ME), uid=NOBODY, status=3, says=f'process {ME} may not be looked at')
        self.assertEqual({u['pid'] for u in self.who('--pid', str(p.pid), uid=NOBODY)['uses']}, {p.pid})
        self.tarn('who', 'posix:/theirs', uid=NOBODY)
        self.assertIn('may not be looked at', self.err)

    def test_hidden_processes(self):
        """A /proc that shows others' processes by number alone, or not at all."""
        if os.getuid() != 0:
            self.skipTest('only root may become nobody')
        for option, says in (('1', 'processes may not be looked at'), ('2', 'this /proc shows no processes of other users')):
            before = ('unshare', '--mount', 'sh', '-c', f'mount -t proc -o hidepid={option} proc /proc && exec "$@"', 'sh')
            if subprocess.run([*before, 'true'], stderr=subprocess.DEVNULL).returncode:
                self.skipTest('no mount namespaces may be made here')
            self.tarn('ls', uid=NOBODY, before=before, says=says)
            self.tarn('ls', before=before)
            self.assertNotIn('this /proc shows', self.err)

    @staticmethod
    def with_memory():
        """All processes but kernel threads and zombies."""
        found = set()
        for p in pathlib.Path('/proc').iterdir():
            if p.name.isdigit():
                try:
                    fields = (p / 'stat').read_text().rsplit(') ', 1)[1].split()
                except OSError:
                    continue
                if not int(fields[6]) & 0x200000 and fields[0] != 'Z':
                    found.add(p.name)
        return found

    def count_all(self):
        """Each process is counted, if none comes or goes meanwhile."""
        wrong = []
        for _ in range(40):
            before = self.with_memory()
            self.tarn('ls', uid=NOBODY)
            counted = int(re.search(r' of (\d+) processes', self.err)[1])
            if before == self.with_memory():
                if counted == len(before):
                    return
                wrong.append((counted, len(before)))
            if len(wrong) == 10:
                break
        self.assertLess(len(wrong), 10, f'counted, and there were: {wrong}')

    def test_what_vanishes(self):
        """Objects and processes come and go; there is no noise, and what is told is whole."""
        code = ('import ctypes, mmap, os\nlibc = ctypes.CDLL(None)\nprint(1, flush=True)\n'
                'for k in range(10 ** 9):\n'
                f'    path = f"{self.dir}/{{k % 50}}"\n'
                '    f = os.open(path, os.O_CREAT | os.O_RDWR); os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); g = os.memfd_create("brief"); i = libc.shmget(0, 4096, 0o1600)\n'
                '    if os.fork() == 0: os._exit(0)\n'
                '    os.unlink(path); libc.shmctl(i, 0, None); m.close(); os.close(f); os.close(g); os.wait()\n')
        self.ours()
        p = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.sweep, p.pid)
        self.addCleanup(self.release, p)
        p.stdout.readline()
        for _ in range(8):
            self.assertEqual(faults(self.json('ls', '-a'), machine.LS), [])
            self.tarn('ls')
        self.assertIsNone(p.poll())

    @staticmethod
    def sweep(pid):
        """What was left by the process that was killed: a System V id."""
        for number, row in proc_sysvipc().items():
            if row['cpid'] == str(pid):
                libc.shmctl(number, IPC_RMID, None)


class Why(machine.Case):
    def why(self, url, *options):
        return json.loads(self.tarn('why', '-J', *options, url))['events']

    def test_a_death(self):
        self.ours()
        first = self.hold('posix:/a', 'x')
        first.kill()
        first.wait()
        second = self.hold('posix:/a', 'x')
        events = self.why('posix:/a')
        self.assertEqual([e['when'] for e in events], sorted(e['when'] for e in events))
        came = {e['pid']: e for e in events if e['event'] == 'attach'}
        self.assertEqual(set(came), {first.pid, second.pid})
        self.assertEqual((came[first.pid]['tid'], came[first.pid]['thread']), (first.pid, 'holder'))
        dead, living = (came[p.pid]['participant'] for p in (first, second))
        held, = [e for e in events if e['event'] == 'held']
        self.assertEqual((held['participant'], held['pid'], held['other'], held['other_pid'], held['object']), (living, second.pid, dead, first.pid, 'x'))
        recovered, = [e for e in events if e['event'] == 'recover']
        self.assertEqual((recovered['participant'], recovered['other'], recovered['held'], recovered['section']), (living, dead, 1, 'undone'))
        self.assertIsNotNone(recovered['us'])
        text = self.tarn('why', 'posix:/a')
        self.assertIn(f'came: process {first.pid}, thread {first.pid}, "holder"', text)
        self.assertIn(f'(pid {first.pid}) dead: it held x (', text)
        self.assertIn('its section was undone', text)
        self.assertEqual(self.tarn('why', '--raw', '--no-headings', '-o', 'EVENT', 'posix:/a').split(), [e['event'] for e in events])

    def test_no_story(self):
        self.tarn('why', status=2, says='URL')
        self.tarn('why', '-o', 'NONE', 'posix:/a', status=2, says='NONE')
        self.ours()
        self.tarn('why', 'posix:/none', status=1, says='none')
        (self.dir / 'other').write_bytes(b'x' * 8192)
        self.tarn('why', 'posix:/other', status=1, says='other')

    def test_odd_names(self):
        """What threads and objects are called is anybody's choice."""
        self.ours()
        odd = self.dir / '\x1b[31m\n"'
        os.symlink(self.HOLDER, odd)
        p = subprocess.Popen([str(odd), 'posix:/a', 'na\x1bme'], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        p.stdout.readline()
        event, = self.why('posix:/a')
        self.assertEqual(event['thread'], '\x1b[31m\n"')
        self.assertNotIn('\x1b', self.tarn('why', 'posix:/a'))
        self.assertNotIn('\x1b', self.tarn('why', '--raw', 'posix:/a'))


class Translate(machine.Case):
    def translate(self, *arguments):
        return json.loads(self.tarn('translate', '-J', *arguments))['translations']

    def test_two_processes(self):
        """Two that have touched an object: two addresses, one frame. A third, which maps it to read only, has not."""
        self.ours()
        holders = [self.hold('posix:/a', 'x')]
        ref = next(n['ref'] for n in json.loads(self.tarn('info', '-J', 'posix:/a'))['names'] if n['name'] == 'x')
        holders.append(subprocess.Popen([sys.executable, '-c', f'''
import mmap
f = open('{self.dir}/a', 'r+b')
m = mmap.mmap(f.fileno(), 0)
m[{ref}:{ref + 1}] = m[{ref}:{ref + 1}]
print(flush=True), input()'''], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        self.addCleanup(self.release, holders[1])
        holders[1].stdout.readline()
        with open(self.dir / 'a', 'rb') as f:
            mapped = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        self.addCleanup(mapped.close)
        rows = {r['pid']: r for r in self.translate('posix:/a', 'x')}
        self.assertEqual(list(rows), sorted([ME] + [p.pid for p in holders]))
        first, second = (rows[p.pid] for p in holders)
        for row in rows.values():
            self.assertEqual((row['ref'], row['offset'], row['page_size'], row['shared'], row['committed']), (ref, ref, PAGE, True, True))
            self.assertEqual(row['page'], row['address'] // PAGE)
            self.assertTrue(row['start'] <= row['address'] < row['end'])
            self.assertTrue(row['resident'])
        for row in (first, second):
            self.assertEqual((row['rights'], row['mapped'], row['read']), ('rw-s', True, 'nothing'))
            self.assertIn(row['write'], ('nothing', 'minor?') if ROOT else ('nothing', 'minor', 'minor?'))
        self.assertEqual(first['command'], 'holder')
        self.assertNotEqual(first['address'], second['address'])
        self.assertEqual(first['frame'], second['frame'])
        self.assertEqual('FRAME' in (first['untold'] or ''), first['frame'] is None)
        self.assertEqual((rows[ME]['rights'], rows[ME]['mapped'], rows[ME]['frame'], rows[ME]['read'], rows[ME]['write']), ('r--s', False, None, 'minor', 'SIGSEGV'))
        self.assertEqual(mapped[ref], mapped[ref])
        touched, = self.translate('--pid', str(ME), 'posix:/a', hex(ref))
        self.assertEqual((touched['mapped'], touched['read'], touched['frame'], touched['exclusive']), (True, 'nothing', first['frame'], False))
        self.assertEqual(self.tarn('translate', '--raw', '--no-headings', '--sort', '-PID', '-o', 'PID,REF', 'posix:/a', 'x').splitlines(),
                         [f'{pid} {ref}' for pid in sorted(rows)])
        text = self.tarn('translate', 'posix:/a', 'x').splitlines()
        self.assertEqual(text[0].split(), 'PID COMMAND ADDRESS RIGHTS PAGE-SIZE PAGE FRAME NODE MAPPED RESIDENT READ WRITE'.split())
        self.assertEqual(len(text), 4)
        self.assertIn(f'{first["address"]:x}', '\n'.join(text))
        self.assertNotIn('\x1b', '\n'.join(text))

    def test_without_a_name(self):
        """A memfd, by the descriptor of who has it; System V, by its key."""
        p = self.hold('memfd:m', 'x')
        fd = next(fd for fd in os.listdir(f'/proc/{p.pid}/fd') if os.readlink(f'/proc/{p.pid}/fd/{fd}').startswith('/memfd:m'))
        row, = self.translate(f'/proc/{p.pid}/fd/{fd}', 'x')
        self.assertEqual((row['pid'], row['read']), (p.pid, 'nothing'))
        key = 0x76000000 | ME
        p = self.hold(f'sysv:{key}', 'x')
        self.addCleanup(self.tarn, 'rm', f'sysv:{key}')
        row, = self.translate(f'sysv:{key:#x}', 'x')
        self.assertEqual((row['pid'], row['read'], row['rights']), (p.pid, 'nothing', 'rw-s'))

    def test_beyond(self):
        """What is not committed is SIGBUS to whoever touches it."""
        self.ours()
        p = self.hold('posix:/a', 'x')
        size = os.stat(self.dir / 'a').st_size
        row, = self.translate('posix:/a', str(size))
        self.assertEqual((row['pid'], row['committed'], row['read'], row['write']), (p.pid, False, 'SIGBUS', 'SIGBUS'))

    def test_without_rights(self):
        if not ROOT:
            self.skipTest('not root: there is no other user to try')
        self.ours()
        self.hold('posix:/a', 'x')
        (self.dir / 'a').chmod(0o644)
        own = subprocess.Popen(['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--', sys.executable, '-c', f"""
import mmap
f = open('{self.dir}/a', 'rb')
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
m[0x1000], print(flush=True), input()"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, own)
        own.stdout.readline()
        r = subprocess.run(['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--', self.TARN, 'translate', '-J', 'posix:/a', '0x1000'],
                           env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(r.returncode, 0)
        row, = json.loads(r.stdout)['translations']
        self.assertEqual((row['pid'], row['mapped'], row['read'], row['frame'], row['dirty']), (own.pid, True, 'nothing', None, None))
        self.assertIn('FRAME', row['untold'])
        self.assertIn(b'processes may not be looked at', r.stderr)
        self.assertIn(b'told to CAP_SYS_ADMIN alone: of 1 they are missing', r.stderr)

    def test_complaints(self):
        self.ours()
        self.hold('posix:/a', 'x')
        for arguments, status, says in (
                ([], 2, 'no URL'), (['posix:/a'], 2, 'and what in it?'), (['posix:/a', '0', '1'], 2, '"1" is one argument too many'),
                (['--pid', 'x', 'posix:/a', '0'], 2, '--pid x'), (['-o', 'NONE', 'posix:/a', '0'], 2, 'NONE'),
                (['posix:/a', 'none'], 1, 'none: no ref'), (['posix:/none', '0'], 1, 'none'),
                (['posix:/a', '0xffffffffffff'], 1, 'beyond its limit'), (['--pid', str(ME), 'posix:/a', '0'], 1, 'does not map that')):
            with self.subTest(arguments):
                self.tarn('translate', *arguments, status=status, says=says)


if __name__ == '__main__':
    resource_tracker.ensure_running()
    unittest.main(argv=[sys.argv[0], *CASES])
