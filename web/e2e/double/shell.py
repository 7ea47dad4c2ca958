# A program on a real terminal, for the double: output on 1, input on 0, "columns rows" lines on 3, how it ended on 4.
import fcntl, json, os, pty, select, struct, sys, termios

columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def size(master, columns, rows):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


child, master = pty.fork()
if child == 0:
    os.execvp(command[0], command)
size(master, columns, rows)
os.set_blocking(1, False)
waiting = b""
sources = [0, 3]
open_master = True
while open_master or waiting:
    # Nothing more is read while the reader waits, so that the program waits too; what is typed goes in all the same.
    reading = sources + ([master] if open_master and not waiting else [])
    ready, writable, _ = select.select(reading, [1] if waiting else [], [])
    if 1 in writable:
        try:
            waiting = waiting[os.write(1, waiting):]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            break
    for source in ready:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b""
        if source == master:
            open_master = bool(data)
            waiting += data
        elif not data:
            sources.remove(source)
            if source == 0:
                os.kill(child, 9)
        elif source == 0:
            os.write(master, data)
        else:
            for line in data.decode().splitlines():
                size(master, *map(int, line.split()))
_, status = os.waitpid(child, 0)
os.write(4, json.dumps({"code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}).encode())
