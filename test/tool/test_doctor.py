#!/usr/bin/env python3
"""tarn doctor: each finding with a planted cause, and its cure carried out. usage: test_doctor.py TARN HOLDER [unittest arguments]

What /proc, /sys and /etc say is planted below a directory (--root). The rest is real, in namespaces of its own as test_gc.py's; where those may not be
made, that part is skipped.
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import machine
from machine import IPC_RMID, faults, libc

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
CASES = sys.argv[3:]
ALONE = bool(os.environ.get('TARN_TEST_ALONE'))
FINDING = {'severity': ('info', 'warning', 'error'), 'check': str, 'object': str, 'what': str, 'cure': machine.Maybe(str)}
GIB = 1 << 20  # in kB

# A machine that is in order
HEALTHY = {
    'proc/self/mountinfo': '25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw\n',
    'proc/meminfo': f'MemTotal: {16 * GIB} kB\nSwapTotal: 0 kB\nCommitted_AS: {4 * GIB} kB\nCommitLimit: {8 * GIB} kB\n',
    'proc/sysvipc/shm': '       key      shmid perms       size  cpid\n',
    'proc/sys/kernel/shmmni': '4096\n', 'proc/sys/kernel/shmall': '18446744073692774399\n', 'proc/sys/kernel/shmmax': '18446744073692774399\n',
    'proc/self/limits': 'Limit  Soft Limit  Hard Limit  Units\nMax locked memory         unlimited            unlimited            bytes     \n'
                        'Max open files            65536                65536                files     \n',
    'proc/sys/fs/file-nr': '592\t0\t2466174\n', 'proc/self/cgroup': '0::/a/b\n', 'proc/sys/vm/overcommit_memory': '0\n',
    'sys/fs/cgroup/a/memory.max': 'max\n', 'sys/fs/cgroup/a/memory.current': '1000\n', 'sys/fs/cgroup/a/memory.stat': 'anon 1\nshmem 5\n',
    'sys/kernel/mm/transparent_hugepage/shmem_enabled': 'always within_size [advise] never deny force\n',
    'run/systemd/users/0': '', 'etc/systemd/logind.conf': '[Login]\nRemoveIPC=no\n'}


def limits(memory, files, hard):
    return (f'Max locked memory         {memory}               {memory}                bytes     \n'
            f'Max open files            {files}                 {hard}                 files     \n')


def ids(count, size):
    return 'key shmid perms size\n' + ''.join(f'{k} {k} 600 {size} 1 1 0\n' for k in range(count))


class Case(machine.Case):
    def findings(self, *arguments, status, **options):
        told = self.json('doctor', *arguments, status=status, **options)
        self.assertEqual(faults(told, {'findings': [FINDING]}), [])
        return told['findings']


class Planted(Case):
    def plant(self, **changes):
        """A healthy machine but for these files; None: it is not there."""
        root = self.dir / 'root'
        for name, text in {**HEALTHY, **changes}.items():
            path = root / name
            path.unlink(missing_ok=True)
            if text is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        (root / 'dev/shm').mkdir(parents=True, exist_ok=True)
        (root / 'dev/shm').chmod(0o1777)
        return root

    def told(self, status, **changes):
        """The findings but for those of the file system behind the planted /dev/shm, which is this machine's."""
        root = self.plant(**changes)
        r = subprocess.run([self.TARN, 'doctor', '-J', '--root', str(root)], stdout=subprocess.PIPE, env=self.env, timeout=60, check=False)
        found = [f for f in json.loads(r.stdout)['findings'] if f['object'] != '/dev/shm' or f['check'] in ('no-shm', 'shm-mode')]
        self.assertEqual(faults(found, [FINDING]), [])
        self.assertEqual(max([{'info': 0, 'warning': 4, 'error': 5}[f['severity']] for f in found] + [0]), status, found)
        if len(found) == len(json.loads(r.stdout)['findings']):
            self.assertEqual(r.returncode, status)
        return found

    def test_healthy(self):
        self.assertEqual(self.told(0), [])

    def test_each(self):
        """One file is another: one finding, of this severity, check and cure."""
        shmem = 'sys/kernel/mm/transparent_hugepage/shmem_enabled'
        group = {'sys/fs/cgroup/a/b/memory.current': '950000000\n', 'sys/fs/cgroup/a/b/memory.stat': 'anon 1\nshmem 800000000\nshmem_thp 0\n'}
        for changes, severity, check, cure in (
                ({'proc/sysvipc/shm': ids(3700, 4096)}, 'warning', 'shmmni', 'sysctl -w kernel.shmmni=8192'),
                ({'proc/sysvipc/shm': ids(4096, 4096)}, 'error', 'shmmni', 'sysctl -w kernel.shmmni=8192'),
                ({'proc/sysvipc/shm': ids(10, 4097), 'proc/sys/kernel/shmall': '21\n'}, 'warning', 'shmall', 'sysctl -w kernel.shmall=42'),
                ({'proc/sysvipc/shm': ids(10, 4097), 'proc/sys/kernel/shmall': '20\n'}, 'error', 'shmall', 'sysctl -w kernel.shmall=40'),
                ({'proc/sys/kernel/shmmax': '33554432\n'}, 'warning', 'shmmax', 'sysctl -w kernel.shmmax=18446744073692774399'),
                ({'proc/sys/kernel/shmmax': '1073741824\n'}, 'info', 'shmmax', 'sysctl -w kernel.shmmax=18446744073692774399'),
                ({'proc/self/limits': limits(65536, 4096, 4096)}, 'info', 'memlock', 'prlimit --pid $$ --memlock=unlimited'),
                ({'proc/self/limits': limits('unlimited', 1024, 4096)}, 'info', 'nofile', 'ulimit -n 4096'),
                ({'proc/self/limits': limits('unlimited', 1024, 1024)}, 'info', 'nofile', 'prlimit --pid $$ --nofile=65536'),
                ({'proc/sys/fs/file-nr': '95\t0\t100\n'}, 'warning', 'file-max', 'sysctl -w fs.file-max=200'),
                ({'sys/fs/cgroup/a/b/memory.max': '10000000000\n', **group}, 'info', 'cgroup-memory', None),
                ({'sys/fs/cgroup/a/b/memory.max': '1000000000\n', **group}, 'warning', 'cgroup-memory', 'echo 2000000000 > /sys/fs/cgroup/a/b/memory.max'),
                ({'sys/fs/cgroup/a/memory.max': '1000\n'}, 'error', 'cgroup-memory', 'echo 2000 > /sys/fs/cgroup/a/memory.max'),
                ({'proc/self/cgroup': '4:memory:/x\n0::/\n', 'sys/fs/cgroup/memory/x/memory.limit_in_bytes': '1000\n',
                  'sys/fs/cgroup/memory/x/memory.usage_in_bytes': '990\n', 'sys/fs/cgroup/memory/x/memory.stat': 'shmem 1\ntotal_shmem 700\n'},
                 'error', 'cgroup-memory', 'echo 2000 > /sys/fs/cgroup/memory/x/memory.limit_in_bytes'),
                ({shmem: 'always within_size advise never deny [force]\n'}, 'warning', 'huge-pages', f'echo advise > /{shmem}'),
                ({shmem: '[always] within_size advise never deny force\n'}, 'info', 'huge-pages', f'echo advise > /{shmem}'),
                ({shmem: 'always within_size advise [never] deny force\n'}, 'info', 'huge-pages', f'echo advise > /{shmem}'),
                ({'proc/sys/vm/overcommit_memory': '2\n'}, 'info', 'overcommit', 'sysctl -w vm.overcommit_memory=0'),
                ({'proc/sys/vm/overcommit_memory': '2\n', 'proc/meminfo': f'MemTotal: {16 * GIB} kB\nCommitted_AS: 91 kB\nCommitLimit: 100 kB\n'},
                 'warning', 'overcommit', 'sysctl -w vm.overcommit_memory=0'),
                ({'etc/systemd/logind.conf': '[Login]\n#RemoveIPC=no\n'}, 'info', 'remove-ipc', ...),
                ({'etc/systemd/logind.conf.d/50.conf': '[Login]\nRemoveIPC=yes\n'}, 'info', 'remove-ipc', ...),
                ({'proc/self/mountinfo': HEALTHY['proc/self/mountinfo'] + '30 25 8:1 / /dev/shm rw - ext4 /dev/sda1 rw\n'}, 'error', 'no-shm', ...),
                ({'proc/self/mountinfo': '25 24 0:23 / /dev rw - devtmpfs devtmpfs rw\n'}, 'error', 'no-shm', ...)):
            with self.subTest(changes=str(changes)[:80], check=check):
                found = self.told({'info': 0, 'warning': 4, 'error': 5}[severity], **changes)
                self.assertEqual([(f['severity'], f['check']) for f in found], [(severity, check)])
                if cure is not ...:
                    self.assertEqual(found[0]['cure'], cure)
                subprocess.run(['rm', '-r', str(self.dir / 'root')], check=True)
        self.assertEqual(self.told(0, **{'etc/systemd/logind.conf': '', 'etc/systemd/logind.conf.d/50.conf': '[Login]\nRemoveIPC = no\n'}), [])
        told, = self.told(0, **{'sys/fs/cgroup/a/b/memory.max': '10000000000\n', **group})
        self.assertIn('has 906M of 9.3G, and 762.9M of it is shared memory', told['what'])

    def test_cure_of_logind(self):
        """The command is carried out, below another /etc and without systemctl."""
        root = self.plant(**{'etc/systemd/logind.conf': ''})
        cure = next(f['cure'] for f in self.told(0, **{'etc/systemd/logind.conf': ''}) if f['check'] == 'remove-ipc')
        subprocess.run(['sh', '-ec', cure.replace('/etc/', f'{root}/etc/').replace('systemctl', 'true')], check=True)
        self.assertEqual([f for f in self.json('doctor', '--root', str(root), status=None)['findings'] if f['check'] == 'remove-ipc'], [])

    def json(self, *arguments, status=0, **options):
        if status is None:
            return json.loads(subprocess.run([self.TARN, *arguments, '-J'], stdout=subprocess.PIPE, check=False).stdout)
        return super().json(*arguments, status=status, **options)

    def test_nothing_there(self):
        """An empty directory: nothing to tell, and no crash."""
        self.assertEqual(self.findings('--root', str(self.dir), status=0), [])
        self.assertEqual(self.tarn('doctor', '--root', str(self.dir)), 'nothing is the matter\n')

    def test_damaged_files(self):
        for text in ('', '\0' * 100, 'x' * 10000, '-1\n', ' - - - \n', ':::\n', '[', '9' * 400):
            self.plant(**dict.fromkeys(HEALTHY, text))
            r = subprocess.run([self.TARN, 'doctor', '-J', '--root', str(self.dir / 'root')], stdout=subprocess.PIPE, env=self.env, timeout=60, check=False)
            self.assertIn(r.returncode, (0, 4, 5))
            self.assertEqual(faults(json.loads(r.stdout), {'findings': [FINDING]}), [])

    def test_wrong_usage(self):
        for arguments, says in ((('posix:/a',), 'takes no URL'), (('--root', '/none at all'), 'is no directory'), (('--older-than', ''), 'number of seconds'),
                                (('-o', 'X'), 'is no column'), (('-J', '--raw'), 'one of them')):
            self.tarn('doctor', *arguments, status=2, says=says)


@unittest.skipUnless(ALONE, 'namespaces of its own may not be made here')
class Real(Case):
    def setUp(self):
        super().setUp()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m,mode=1777', 'tmpfs', '/dev/shm'], check=True)
        self.addCleanup(subprocess.run, ['umount', '-l', '/dev/shm'], check=True)
        self.room = pathlib.Path(tempfile.mkdtemp(prefix='tarn-doctor-', dir='/var/tmp'))
        self.addCleanup(shutil.rmtree, self.room)
        self.env['PATH'] = os.path.dirname(self.TARN) + ':' + os.environ['PATH']

    def told(self, check, *arguments, severity=None):
        """{object: finding} of one check"""
        r = subprocess.run([self.TARN, 'doctor', '-J', '--alone', '--older-than', '0', *arguments], stdout=subprocess.PIPE, env=self.env, timeout=60, check=False)
        found = json.loads(r.stdout)['findings']
        self.assertEqual(r.returncode, max([{'info': 0, 'warning': 4, 'error': 5}[f['severity']] for f in found] + [0]))
        found = {f['object']: f for f in found if f['check'] == check}
        if severity:
            self.assertEqual({f['severity'] for f in found.values()}, {severity})
        return found

    def cure(self, finding):
        subprocess.run(['bash', '-ec', finding['cure']], env=self.env, check=True, stdout=subprocess.DEVNULL, cwd=self.room)
        self.assertEqual([p for p in os.listdir(self.room) if p == 'bad'], [])

    def fill(self, path, size):
        with open(path, 'wb') as f:
            f.write(bytes(size))

    def mount(self, path, options):
        path.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(path)], check=True)
        self.addCleanup(subprocess.run, ['umount', '-l', str(path)], check=True)

    def test_full(self):
        where = self.room / "it's shm \\ \u00fc"
        self.mount(where, 'size=1m')
        self.assertEqual(self.told('tmpfs-full'), {})
        self.fill(where / 'a', 972800)
        told = self.told('tmpfs-full', severity='warning')
        self.assertEqual(list(told), [str(where)])
        self.assertIn('92% of it is full, 952K of 1M', told[str(where)]['what'])
        self.fill(where / 'b', 65536)
        told = self.told('tmpfs-full', severity='error')
        self.cure(told[str(where)])
        self.assertEqual(self.told('tmpfs-full'), {})
        self.assertEqual(os.statvfs(where).f_blocks * os.statvfs(where).f_frsize, 2 << 20)

    def test_full_of_files(self):
        self.mount(self.room / 'shm', 'size=1m,nr_inodes=20')
        for k in range(19):
            self.fill(self.room / 'shm' / str(k), 0)
        self.cure(self.told('tmpfs-files', severity='error')[str(self.room / 'shm')])
        self.assertEqual(self.told('tmpfs-files'), {})

    def test_full_by_another_name(self):
        """One whose name says nothing, but somebody has a file of it mapped."""
        where = self.room / 'store'
        self.mount(where, 'size=1m')
        self.fill(where / 'a', 1 << 20)
        self.assertEqual(self.told('tmpfs-full'), {})
        fd = os.open(where / 'a', os.O_RDWR)
        self.map(fd, 4096)
        os.close(fd)
        self.assertEqual(list(self.told('tmpfs-full', severity='error')), [str(where)])

    def test_of_a_container(self):
        subprocess.run(['mount', '-o', 'remount,size=64m', '/dev/shm'], check=True)
        self.cure(self.told('container-shm', severity='warning')['/dev/shm'])
        self.assertEqual(self.told('container-shm'), {})

    def test_mode_of_shm(self):
        for mode, severity in ((0o777, 'error'), (0o755, 'warning')):
            os.chmod('/dev/shm', mode)
            self.cure(self.told('shm-mode', severity=severity)['/dev/shm'])
            self.assertEqual(os.stat('/dev/shm').st_mode & 0o7777, 0o1777)
        self.assertEqual(self.told('shm-mode'), {})

    def test_world_writable(self):
        """The cure means the file, whatever its name; no name does anything else."""
        names = [b'plain', b'with blank', b"it's", b'$(touch bad)', b'`x`;&|<>*?[a]', b'-rf', b'a\nb\tc', b'\x1b[31m', b'\xff\xfe', b'back\\slash \\x41 \\101',
                 '\u202e\u00fc'.encode(), b'"', b'!x', b'y' * 255, b"'", b'$HOME', b'~']
        for name in names:
            path = b'/dev/shm/' + name
            self.fill(path, 1)
            os.chmod(path, 0o646)
        number = self.sysv(0, 4096, mode=0o666, attach=False)
        told = self.told('world-writable', severity='warning')
        self.assertEqual(len(told), len(names) + 1)
        self.cure(told[f'shmid:{number}'])
        with open('/proc/sysvipc/shm', encoding='ascii') as f:
            self.assertEqual([int(line.split()[2], 8) & 0o777 for line in f.readlines()[1:] if int(line.split()[1]) == number], [0o664])
        text = self.tarn('doctor', status=4)
        self.assertTrue(all(c.isprintable() for c in text.replace('\n', '')), repr(text))
        self.assertIn('... and 9 more of this kind', text)
        lines = self.tarn('doctor', '--raw', '--no-headings', '-o', 'CHECK,CURE', status=4).splitlines()
        self.assertEqual(len([line for line in lines if line.startswith('world-writable ')]), len(names))
        shown = [line.split(' ', 1)[1].strip() for line in self.tarn('doctor', '--no-headings', '-o', 'CHECK,CURE', status=4).splitlines()
                 if line.startswith('world-writable ')]
        for cure in shown:  # as they stand in a table
            if cure.startswith('chmod'):
                self.cure({'cure': cure})
        self.assertEqual({os.stat(b'/dev/shm/' + n).st_mode & 0o777 for n in names}, {0o644})
        self.assertEqual(sorted(os.listdir(b'/dev/shm')), sorted(names))
        self.assertEqual(self.told('world-writable'), {})

    def test_orphaned_ids(self):
        made = subprocess.run(['ipcmk', '-M', '4096'], stdout=subprocess.PIPE, check=True).stdout.decode()
        number = int(made.split()[-1])
        self.addCleanup(libc.shmctl, number, IPC_RMID, None)
        mine = self.sysv(0, 4096, attach=False)
        told = self.told('orphan', severity='warning')
        self.assertEqual(len(told), 1)
        finding, = told.values()
        self.assertEqual(finding['cure'], f'ipcrm -m {number}')
        self.cure(finding)
        self.assertEqual(self.told('orphan'), {})
        self.assertEqual(libc.shmctl(mine, 2, ctypes.create_string_buffer(256)), 0)

    def test_orphaned_names(self):
        self.fill('/dev/shm/torch_4194000_1_0', 5000)
        os.chown('/dev/shm/torch_4194000_1_0', 4201, 4201)
        self.fill('/dev/shm/other', 5000)
        told = self.told('orphan', severity='warning')
        self.assertEqual({name: f['cure'] for name, f in told.items()}, {'posix:/torch_4194000_1_0': 'tarn gc --older-than 0 --alone'})
        self.assertEqual(self.told('orphan', '--older-than', '1h'), {})
        self.assertEqual(self.told('blind'), {})
        blind = self.findings(status=None)
        self.assertEqual([f['check'] for f in blind if f['check'] in ('blind', 'orphan')], ['blind'])
        self.cure({'cure': told['posix:/torch_4194000_1_0']['cure'] + ' --yes'})
        self.assertEqual(os.listdir('/dev/shm'), ['other'])

    def findings(self, *arguments, status, **options):
        if status is None:
            return json.loads(subprocess.run([self.TARN, 'doctor', '-J', *arguments], stdout=subprocess.PIPE, check=False).stdout)['findings']
        return super().findings(*arguments, status=status, **options)

    def test_outlived(self):
        """A PID namespace that is younger than what is there; what somebody has in it is left out."""
        number = self.sysv(0, 4096, attach=False)
        self.fill('/dev/shm/old', 10)
        made = os.stat('/dev/shm/old').st_ctime
        self.assertEqual(self.told('outlived'), {})
        self.until(lambda: time.time() > made + 5, 'the clock goes')  # start times are told to a second or two
        inside = ('unshare', '-pf', '--mount-proc', 'sh', '-c', 'echo x >/dev/shm/new; exec 3</dev/shm/old; [ -z "$HELD" ] && exec 3<&-; "$0" "$@"; exit 0')
        for held in ('', '1'):
            self.env['HELD'] = held
            told = json.loads(self.tarn('doctor', '-J', before=inside))['findings']
            found = {f['object']: f for f in told if f['check'] == 'outlived'}
            self.assertEqual(sorted(found), [f'shmid:{number}'] if held else ['posix:/old', f'shmid:{number}'])
            if not held:
                self.assertEqual(found['posix:/old']['cure'], 'rm -- /dev/shm/old')
                self.assertEqual(found[f'shmid:{number}']['cure'], f'ipcrm -m {number}')

    def test_objects_of_people(self):
        """systemd would remove them when he logs out."""
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', '/run'], check=True)
        self.addCleanup(subprocess.run, ['umount', '/run'], check=True)
        os.makedirs('/run/systemd/users')
        os.makedirs('/run/systemd/logind.conf.d')
        pathlib.Path('/run/systemd/logind.conf.d/x.conf').write_text('[Login]\nRemoveIPC=yes\n')
        self.told('remove-ipc', severity='info')
        self.fill('/dev/shm/his', 10)
        os.chown('/dev/shm/his', 4201, 4201)
        told, = self.told('remove-ipc', severity='warning').values()
        self.assertIn("(1 objects here are such users')", told['what'])

    def stop(self, p):
        p.send_signal(signal.SIGSTOP)
        self.until(lambda: pathlib.Path(f'/proc/{p.pid}/stat').read_text().split(') ')[1][0] == 'T', 'it stops')

    def test_dead_and_stopped(self):
        p = self.hold('posix:/seg', 'x')
        self.assertEqual((self.told('stopped'), self.told('dead')), ({}, {}))
        self.stop(p)
        told = self.told('stopped', severity='warning')['posix:/seg']
        self.assertEqual(told['cure'], f'kill -CONT {p.pid}')
        self.assertIn('holds 1 lock, with a section open', told['what'])
        self.cure(told)
        self.until(lambda: self.told('stopped') == {}, 'it goes on')
        self.release(p)
        told = self.told('dead', severity='warning')['posix:/seg']
        self.assertEqual(told['cure'], 'tarn recover posix:/seg')
        self.assertEqual(self.tarn('recover', 'posix:/seg'), '1 recovered, 1 open sections undone\n')
        self.assertEqual(self.told('dead'), {})
        self.assertEqual(self.tarn('recover', 'posix:/seg'), '0 recovered, 0 open sections undone\n')
        self.tarn('recover', 'posix:/none', status=1, says='none')
        self.tarn('recover', status=2, says='no URL')

    def test_ended(self):
        """Whoever should have ended them was killed. The doctor does not: that is a cure."""
        for lifetime in '12':
            self.env['HOLDER_LIFETIME'] = lifetime
            self.hold(f'posix:/live{lifetime}', 'x')
            self.release(self.hold(f'posix:/dead{lifetime}', 'x'))
        told = self.told('ended', severity='warning')
        self.assertEqual(sorted(told), ['posix:/dead1', 'posix:/dead2'])
        self.assertEqual(sorted(os.listdir('/dev/shm')), ['dead1', 'dead2', 'live1', 'live2'])
        self.cure({'cure': told['posix:/dead1']['cure'] + ' --yes'})
        self.assertEqual((self.told('ended'), sorted(os.listdir('/dev/shm'))), ({}, ['live1', 'live2']))

    def test_ended_and_in_use(self):
        self.env['HOLDER_LIFETIME'] = '2'
        p = self.hold('posix:/seg', 'x')
        fd = os.open('/dev/shm/seg', os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.release(p)
        told = self.told('ended', severity='info')['posix:/seg']
        self.assertIn('its creator has ended', told['what'])
        self.cure(told)
        self.assertEqual(os.listdir('/dev/shm'), [])

    def test_damaged(self):
        self.release(self.hold('posix:/seg', 'x'))
        os.truncate('/dev/shm/seg', 70000)
        told = self.told('damaged', severity='error')['posix:/seg']
        self.assertEqual(told['cure'], 'tarn check posix:/seg')
        self.assertNotIn('descriptor', told['what'])

    def test_of_another_directory(self):
        """A container's /dev/shm may lie in a directory here. What is a posix: there is looked into, and is not taken for a file that was copied."""
        os.mkdir('/dev/shm/of-a-container')
        self.env['TARN_SHM_DIR'] = '/dev/shm/of-a-container'
        p = self.hold('posix:/seg', 'x')
        del self.env['TARN_SHM_DIR']
        self.stop(p)
        self.assertEqual(self.told('damaged'), {})
        self.assertEqual(self.told('stopped', severity='warning')['file:/dev/shm/of-a-container/seg']['cure'], f'kill -CONT {p.pid}')
        self.tarn('info', 'file:/dev/shm/of-a-container/seg', status=1, says='was made by posix: and not as a file')
        self.assertIn('backing      posix', self.tarn('info', '/dev/shm/of-a-container/seg'))


def main():
    if ALONE:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m,mode=1777', 'tmpfs', '/dev/shm'], check=True)
        unittest.main(argv=[sys.argv[0], *CASES])
    own = ['unshare', '--ipc', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    if subprocess.run([*own, 'mount', '-t', 'tmpfs', 'tmpfs', '/dev/shm'], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.environ['TARN_TEST_ALONE'] = '1'
        os.execvp(own[0], [*own, sys.executable, *sys.argv])
    unittest.main(argv=[sys.argv[0], *CASES])


if __name__ == '__main__':
    main()
