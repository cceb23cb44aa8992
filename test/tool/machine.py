"""What tests of the machine's shared memory share: the command, real objects of each kind, and a check of JSON against a schema."""
import ctypes
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

NOBODY = 65534
IPC_PRIVATE, IPC_RMID, SHM_LOCK, SHM_RDONLY = 0, 0, 11, 0o10000
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]

# What may be said of processes that the machine keeps from us, also from root
UNREAD = re.compile(r'^tarn \w+: (\d+ of \d+ processes may not be looked at|System V ids of \d+ other IPC namespaces may not be listed|'
                    r'this /proc shows no processes of other users|\d+ segments could not be looked into)')


def on_terminal(run):
    """What run(stdout) writes to a terminal."""
    try:
        ours, theirs = os.openpty()
    except OSError as e:
        raise unittest.SkipTest(f'no terminal to be had here: {e}') from e
    run(theirs)
    os.close(theirs)
    text = b''
    try:
        while more := os.read(ours, 4096):
            text += more
    except OSError:
        pass
    os.close(ours)
    return text


def leave_nothing(case):
    """A runner whose patience is over sends SIGTERM: then, too, what the test made is removed."""
    ours = os.getpid()

    def ended(*_):
        if os.getpid() == ours:
            case.doCleanups()
        os._exit(1)

    signal.signal(signal.SIGTERM, ended)


class Case(unittest.TestCase):
    TARN = HOLDER = None  # set by whoever has the arguments

    def setUp(self):
        leave_nothing(self)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='tarn-tool-', dir='/dev/shm'))
        self.addCleanup(shutil.rmtree, self.dir)
        self.dir.chmod(0o755)
        self.env = dict(os.environ, LC_ALL='C.UTF-8')
        self.env.pop('TARN_SHM_DIR', None)
        self.err = ''

    def ours(self):
        """POSIX objects are those of a directory that nobody else has."""
        self.env['TARN_SHM_DIR'] = str(self.dir)

    def tarn(self, *arguments, status=0, says=None, uid=None, before=(), **options):
        """Run it; its stdout. It must end with status, and say `says` on stderr, which has nothing else than what may not be looked at if it ended well."""
        as_user = [] if uid is None else ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', '--']
        options.setdefault('stdout', subprocess.PIPE)
        r = subprocess.run([*before, *as_user, self.TARN, *arguments], env=self.env, stderr=subprocess.PIPE, timeout=60, **options)
        self.err = r.stderr.decode()
        self.assertEqual(r.returncode, status, f'tarn {arguments}: {self.err}')
        rest = [line for line in self.err.splitlines() if not UNREAD.match(line)]
        if status == 0:
            self.assertEqual(rest, [])
        if says:
            self.assertIn(says, self.err)
        return None if r.stdout is None else r.stdout.decode()

    def json(self, *arguments, **options):
        return json.loads(self.tarn(*arguments, '-J', **options))

    def ls(self, *arguments, **options):
        return self.json('ls', *arguments, **options)['objects']

    def named(self, name, *arguments, **options):
        """The only object of this name."""
        found = [o for o in self.ls(*arguments, **options) if o['name'] == name]
        self.assertEqual(len(found), 1, f'{name}: {found}')
        return found[0]

    def who(self, *arguments, **options):
        return self.json('who', *arguments, **options)

    def hold(self, *arguments, before=(), wait=True):
        p = subprocess.Popen([*before, self.HOLDER, *arguments], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        if wait and not p.stdout.readline():
            self.skipTest(f'{before} may not be done here')
        return p

    @staticmethod
    def release(p):
        p.kill()
        p.stdin.close()
        p.stdout.close()
        p.wait()

    def until(self, condition, what):
        """No time is a fault of the machine; but a test ends."""
        for _ in range(600):
            result = condition()
            if result:
                return result
            time.sleep(0.05)
        self.fail(f'not in half a minute: {what}')

    # ---- objects of this process ----

    def sysv(self, key, size, mode=0o600, touch=0, attach=True, flags=0):
        """Its id."""
        number = libc.shmget(key, size, 0o1000 | mode)
        self.assertGreaterEqual(number, 0, os.strerror(ctypes.get_errno()))
        self.addCleanup(libc.shmctl, number, IPC_RMID, None)
        if attach:
            address = libc.shmat(number, None, flags)
            self.addCleanup(libc.shmdt, address)
            if touch:
                ctypes.memset(address, 1, touch)
        return number

    def file(self, path, size, touch=0, mapped=True, **options):
        """A file, mapped; its descriptor is closed again."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self.addCleanup(pathlib.Path(os.fsdecode(path)).unlink, missing_ok=True)
        with os.fdopen(fd, 'r+b') as f:
            f.truncate(size)
            if mapped:
                return self.map(f.fileno(), size, touch, **options)
            f.write(b'x' * touch)
        return None

    def map(self, fd, size, touch=0, **options):
        m = mmap.mmap(fd, size, **options)
        self.addCleanup(m.close)
        if touch:
            m[:touch] = b'x' * touch
        return m

    def memfd(self, label, size, touch=0, mapped=True):
        fd = os.memfd_create(label)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, size)
        if mapped:
            self.map(fd, size, touch)
        else:
            os.pwrite(fd, b'x' * touch, 0)
        return fd


# ---- JSON ----

class Maybe:
    def __init__(self, what):
        self.what = what


def faults(value, schema, where='$'):
    """A schema is a type; a pattern that a string matches; a tuple of the values there are; [SCHEMA] of a list's elements; {KEY: SCHEMA} of an object that
    has just these keys; Maybe(SCHEMA): or null. Numbers are not negative."""
    if isinstance(schema, Maybe):
        return [] if value is None else faults(value, schema.what, where)
    if isinstance(schema, dict):
        if not isinstance(value, dict) or list(value) != list(schema):
            return [f'{where}: has {list(value) if isinstance(value, dict) else value}, not {list(schema)}']
        return [f for key in schema for f in faults(value[key], schema[key], f'{where}.{key}')]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f'{where}: no list: {value}']
        return [f for k, element in enumerate(value) for f in faults(element, schema[0], f'{where}[{k}]')]
    if isinstance(schema, tuple):
        good = value in schema
    elif isinstance(schema, re.Pattern):
        good = isinstance(value, str) and schema.fullmatch(value)
    else:
        good = type(value) is schema and (schema is not int or value >= 0)
    return [] if good else [f'{where}: {value!r} is no {schema}']


MODE = re.compile('[0-7]{4}')
ID = re.compile(r'\d+|[0-9a-f]{2,}:[0-9a-f]{2,}:\d+')
KIND = ('sysv', 'posix', 'memfd', 'file', 'huge', 'anon')
OBJECT = {
    'kind': KIND, 'id': ID, 'key': Maybe(re.compile('0x[0-9a-f]+')), 'size': int, 'res': Maybe(int), 'swap': Maybe(int), 'mode': Maybe(MODE),
    'owner': Maybe(str), 'uid': Maybe(int), 'gid': Maybe(int), 'procs': int, 'nattch': Maybe(int), 'created': Maybe(int), 'used': Maybe(int),
    'made_by': Maybe(str), 'told_by': Maybe(('name', 'bytes', 'user', 'shape')), 'cpid': Maybe(int), 'lpid': Maybe(int),
    'creator': Maybe(('live', 'dead')), 'command': Maybe(str), 'state': Maybe(('deleted', 'locked', 'deleted,locked')), 'where': Maybe(int),
    'path': Maybe(re.compile('/.*', re.S)), 'name': re.compile(r'((posix|sysv|shmid|memfd|file|anon):|/proc/\d+/root/).+', re.S)}
LS = {'objects': [OBJECT]}
USE = {
    'pid': int, 'nspid': Maybe(int), 'user': Maybe(str), 'rights': re.compile('[r-][w-][x-][sp]?'), 'address': Maybe(int), 'end': Maybe(int),
    'size': Maybe(int), 'offset': Maybe(int), 'fd': Maybe(int), 'state': Maybe(('live', 'stopped', 'zombie')), 'command': str, 'kind': KIND, 'id': ID,
    'name': str}
PARTICIPANT = {
    'participant': int, 'pid': int, 'tid': int, 'nspid': int, 'nstid': int, 'state': ('live', 'stopped', 'dead', 'unknown'), 'started': Maybe(int), 'since': Maybe(int),
    'section': bool, 'locks': int, 'holds': Maybe(str), 'waits_for': Maybe(int), 'what': Maybe(str), 'holder': Maybe(int), 'timed': Maybe(bool), 'circle': Maybe(int),
    'claimless': bool, 'command': Maybe(str), 'name': str}
WHO = {'uses': [USE], 'participants': [PARTICIPANT]}
