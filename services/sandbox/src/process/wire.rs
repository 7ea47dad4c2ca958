//! The launcher's end of the control socket: what it tells the service, and what it is told.

use std::{
    fs,
    io::Read as _,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::spec::{Ask, CONTROL_FD, Go, Note, Step};

/// The most descriptors that come along with one message.
pub const MAX_FDS: usize = 3;

fn control() -> BorrowedFd<'static> {
    // SAFETY: the control socket stays open for as long as this process uses it.
    unsafe { BorrowedFd::borrow_raw(CONTROL_FD) }
}

/// Tells the service something, with the descriptors that belong to it.
pub fn tell(note: &Note, fds: &[RawFd]) -> Result<(), Step> {
    let failed = |_| Step { step: "telling the service", errno: libc::EIO };
    let text =
        serde_json::to_vec(note).map_err(|_| Step { step: "telling the service", errno: libc::EINVAL })?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut extra = SendAncillaryBuffer::new(&mut space);
    // SAFETY: the caller holds the descriptors open through this call.
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| unsafe { BorrowedFd::borrow_raw(*fd) }).collect();
    if !fds.is_empty() {
        extra.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(control(), &[std::io::IoSlice::new(&text)], &mut extra, SendFlags::NOSIGNAL).map_err(failed)?;
    Ok(())
}

/// The next message of the service with its descriptors; nothing when it has closed its end.
fn hear(text: &mut [u8]) -> Result<Option<(usize, Vec<OwnedFd>)>, Step> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    loop {
        let heard =
            recvmsg(control(), &mut [std::io::IoSliceMut::new(text)], &mut extra, RecvFlags::CMSG_CLOEXEC);
        return match heard {
            Ok(message) if message.bytes == 0 => Ok(None),
            Ok(message) => {
                let fds = extra.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                });
                Ok(Some((message.bytes, fds.flatten().collect())))
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::CONNRESET) => Ok(None),
            Err(error) => Err(Step { step: "listening to the service", errno: error.raw_os_error() }),
        };
    }
}

/// Waits until the service says what runs; nothing when it wants nothing any more. The order comes as a file in
/// memory, the workspace's tree as a second descriptor.
pub fn wait_for_go() -> Result<Option<(Go, Option<OwnedFd>)>, Step> {
    let invalid = || Step { step: "reading the order", errno: libc::EINVAL };
    let Some((_, fds)) = hear(&mut [0u8; 16])? else { return Ok(None) };
    let mut fds = fds.into_iter();
    let mut order = Vec::new();
    let mut file = fs::File::from(fds.next().ok_or_else(invalid)?);
    file.read_to_end(&mut order).map_err(|e| Step::of("reading the order", &e))?;
    let go = serde_json::from_slice(&order).map_err(|_| invalid())?;
    Ok(Some((go, fds.next())))
}

/// The service's next question; nothing when it has closed its end.
pub fn question() -> Result<Option<Ask>, Step> {
    let mut text = [0u8; 256];
    let Some((bytes, _)) = hear(&mut text)? else { return Ok(None) };
    let ask = serde_json::from_slice(&text[..bytes]);
    ask.map(Some).map_err(|_| Step { step: "reading a question", errno: libc::EINVAL })
}
