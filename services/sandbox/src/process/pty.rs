//! A terminal of the sandbox's own: made on its devpts, so that its name exists where the program looks for it.

use std::{
    fs::{File, OpenOptions},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::spec::{Step, check};

/// Both ends of a terminal.
pub struct Terminal {
    /// The service's end.
    pub outer: OwnedFd,
    /// The program's end.
    pub inner: OwnedFd,
}

/// Opens a terminal of this size (columns, rows) on the sandbox's devpts.
pub fn open(size: (u16, u16)) -> Result<Terminal, Step> {
    let outer: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/pts/ptmx")
        .map_err(|e| Step::of("opening a terminal", &e))?;
    let unlock: libc::c_int = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the pointer is to a live integer.
    check(unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCSPTLCK, &unlock) }, "unlocking a terminal")?;
    // SAFETY: the call touches no memory; what it answers is a new descriptor.
    let inner = check(
        unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCGPTPEER, flags) },
        "opening a terminal's inner end",
    )?;
    // SAFETY: the descriptor was just opened and nobody else has it.
    let inner = unsafe { OwnedFd::from_raw_fd(inner as i32) };
    let outer = OwnedFd::from(outer);
    resize(outer.as_raw_fd(), size)?;
    Ok(Terminal { outer, inner })
}

/// Gives a terminal another size (columns, rows); programs in it get a signal.
pub fn resize(terminal: i32, (columns, rows): (u16, u16)) -> Result<(), Step> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a live size.
    check(unsafe { libc::ioctl(terminal, libc::TIOCSWINSZ, &size) }, "resizing a terminal").map(drop)
}

/// Makes a terminal this process' own: its input and output, and what its signals come from. The process leads a
/// session that has no terminal yet.
pub fn make_own(inner: &OwnedFd) -> Result<(), Step> {
    for place in 0..3 {
        // SAFETY: both are descriptors of this process, which gives up what was there.
        check(unsafe { libc::dup2(inner.as_raw_fd(), place) }, "taking a terminal")?;
    }
    // SAFETY: the call touches no memory.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }, "taking a terminal").map(drop)
}
